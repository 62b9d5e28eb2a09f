"""Training with both sides apart: whose negative is what, and that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from models.text import TextEncoder
from tests.training.conftest import WORDS
from training.cross_encoder import CrossEncoder, keep_layers, new_cross_encoder
from training.data import CandidateList
from training.fit import Schedule, fit
from training.sides import batch_gains, contrast, distinct_candidates, embed_lists, imitate

LISTS = [
    CandidateList(a, "s", a, (WORDS[3 + i], WORDS[3 + (i + 1) % 3]), {"fit": np.array([1.0, 0.0])})
    for i, a in enumerate(WORDS[:3])
]
SCHEDULE = Schedule(steps=40, lists_per_step=3, learning_rate=1e-3)


def test_candidates_of_other_lists_have_no_gain_and_a_shared_text_stands_once() -> None:
    lists = [
        CandidateList("a", "s", "baker", ("oven", "steel"), {"fit": np.array([0.5, np.nan])}),
        CandidateList("b", "s", "cook", ("ward", "oven"), {"fit": np.array([0.0, 1.0])}),
    ]
    assert distinct_candidates(lists) == ["oven", "steel", "ward"]
    gains, is_own = batch_gains(lists, "fit")
    assert gains.tolist() == [[0.5, 0.0, 0.0], [1.0, 0.0, 0.0]]
    assert is_own.tolist() == [[True, False, False], [True, False, True]]


def scores(model: CrossEncoder, encoder: TextEncoder) -> list[int]:
    with torch.inference_mode():
        members, candidates = embed_lists(model, encoder, LISTS)
        return model.match(members.unsqueeze(1), candidates.unsqueeze(0))[..., 0].argmax(1).tolist()


def test_each_member_learns_its_own_among_the_candidates_of_all(
    backbone: str, encoder: TextEncoder, tmp_path: Path
) -> None:
    model = new_cross_encoder(backbone, 1)
    fit(model, LISTS, contrast(model, encoder, ["fit"]), SCHEDULE, tmp_path)
    assert [distinct_candidates(LISTS)[place] for place in scores(model, encoder)] == ["oven", "steel", "ward"]


def test_embeddings_come_back_in_the_order_of_the_texts(backbone: str, encoder: TextEncoder) -> None:
    words = tuple(f"{' '.join(['oven'] * (1 + i % 5))} {WORDS[i % 6]}" for i in range(70))
    one = CandidateList("a", "s", "baker", words, {})
    model = new_cross_encoder(backbone, 1)
    with torch.inference_mode():
        _, found = embed_lists(model, encoder, [one])
        singly = [
            embed_lists(model, encoder, [CandidateList("a", "s", "baker", (word,), {})])[1]
            for word in distinct_candidates([one])
        ]
    torch.testing.assert_close(found, torch.cat(singly), atol=2e-2, rtol=0)


def test_a_shallower_model_learns_to_place_texts_where_the_deeper_one_does(
    backbone: str, encoder: TextEncoder, tmp_path: Path
) -> None:
    teacher = new_cross_encoder(backbone, 1)
    student = keep_layers(teacher, (1,))
    objective = imitate(student, teacher, encoder)
    before = objective(LISTS).item()
    fit(student, LISTS, objective, SCHEDULE, tmp_path)
    assert objective(LISTS).item() < before / 4
