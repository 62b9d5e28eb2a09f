"""The bi-encoder phase: which candidates are negatives of which member, and that it learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.text import TextEncoder
from tests.support.tiny_encoder import WORDS
from training.data.lists import CandidateList
from training.nets.cross_encoder import CrossEncoder, keep_layers, new_cross_encoder
from training.objectives.in_batch_negatives import (
    batch_gains,
    contrast,
    distinct_candidates,
    embed_lists,
    imitate,
    rehearse,
)
from training.trainer.distributed import Objective
from training.trainer.loop import fit
from training.trainer.schedule import Schedule

LISTS = [
    CandidateList(a, "s", a, (WORDS[3 + i], WORDS[3 + (i + 1) % 3]), {"fit": np.array([1.0, 0.0])})
    for i, a in enumerate(WORDS[:3])
]
SCHEDULE = Schedule(steps=40, lists_per_step=3, learning_rate=1e-3)


def test_candidates_of_other_lists_have_no_gain_and_a_shared_text_occurs_once() -> None:
    lists = [
        CandidateList("a", "s", "baker", ("oven", "steel"), {"fit": np.array([0.5, np.nan])}),
        CandidateList("b", "s", "cook", ("ward", "oven"), {"fit": np.array([0.0, 1.0])}),
    ]
    assert distinct_candidates(lists) == ["oven", "steel", "ward"]
    gains, is_own = batch_gains(lists, "fit")
    assert gains.tolist() == [[0.5, 0.0, 0.0], [1.0, 0.0, 0.0]]
    assert is_own.tolist() == [[True, False, False], [True, False, True]]


def test_what_fits_a_member_is_no_negative_of_its_other_lists() -> None:
    lists = [
        CandidateList("a/0", "s", "baker", ("oven", "steel"), {"fit": np.array([0.5, 0.0])}),
        CandidateList("b/0", "s", "cook", ("steel",), {"fit": np.array([1.0])}),
        CandidateList("a/1", "s", "baker", ("ward", "oven"), {"fit": np.array([1.0, 0.5])}),
    ]
    gains, is_own = batch_gains(lists, "fit")
    assert gains.tolist() == [[0.5, 0.0, 1.0], [0.0, 1.0, 0.0], [0.5, 0.0, 1.0]]
    assert is_own.tolist() == [[True, True, False], [False, True, False], [True, False, True]]


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


def test_a_shallower_model_learns_the_embeddings_of_a_deeper_one(
    backbone: str, encoder: TextEncoder, tmp_path: Path
) -> None:
    teacher = new_cross_encoder(backbone, 1)
    student = keep_layers(teacher, (1,))
    objective = imitate(student, teacher, encoder)
    before = objective(LISTS).item()
    fit(student, LISTS, objective, SCHEDULE, tmp_path)
    assert objective(LISTS).item() < before / 4


def test_unjudged_lists_are_recalled_and_judged_ones_are_learnt() -> None:
    unjudged = CandidateList("u", "s", "ward", ("oven",), {"fit": np.array([np.nan])})
    recorded: dict[str, list[str]] = {"learn": [], "recall": []}

    def record(name: str, value: float) -> Objective:
        def objective(lists: Sequence[CandidateList]) -> torch.Tensor:
            recorded[name] += [each.list_id for each in lists]
            return torch.tensor(value)

        return objective

    objective = rehearse(record("learn", 8.0), record("recall", 4.0))
    assert objective([*LISTS, unjudged]).item() == 0.75 * 8 + 0.25 * 4
    assert recorded == {"learn": ["baker", "welder", "nurse"], "recall": ["u"]}
    assert objective(LISTS).item() == 8
    assert objective([unjudged]).item() == 4


def test_rehearsal_keeps_the_embeddings_of_unjudged_texts(backbone: str, encoder: TextEncoder, tmp_path: Path) -> None:
    unjudged = [CandidateList("u", "s", "steel oven", ("ward nurse", "oven baker"), {"fit": np.full(2, np.nan)})]
    moved = {}
    for name, lists in (("without", LISTS), ("with", LISTS + unjudged)):
        model, untouched = new_cross_encoder(backbone, 1), new_cross_encoder(backbone, 1).eval()
        recall = imitate(model, untouched, encoder)
        schedule = replace(SCHEDULE, lists_per_step=len(lists))
        fit(model, lists, rehearse(contrast(model, encoder, ["fit"]), recall), schedule, tmp_path / name)
        moved[name] = recall(unjudged).item()
    assert moved["with"] < moved["without"] / 4
