"""The training loop:
learns a tiny list, repeats itself, resumes to the same weights, stops on a loss that is not finite.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from models.text import TextEncoder
from training.cross_encoder import encode_lists, keep_layers, load_cross_encoder, predict, predict_lists, read_tokenizer
from training.data import CandidateList
from training.fit import Schedule, TrainBatch, TrainingStopped, fit, make_batch
from training.teach import gold_loss
from training.tiny import write_tiny_backbone

WORDS = "baker welder nurse oven steel ward".split()
LISTS = [
    CandidateList(f"{a}", "s", a, tuple(WORDS[3:]), {"fit": np.array([1.0 if b == i else 0.0 for b in range(3)])})
    for i, a in enumerate(WORDS[:3])
] * 4
SCHEDULE = Schedule(steps=80, lists_per_step=4, learning_rate=1e-3, checkpoint_every=20)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_tiny_backbone(tmp_path_factory.mktemp("backbone"), WORDS, layers=2, hidden=32)


@pytest.fixture
def encoder(backbone: str) -> TextEncoder:
    return TextEncoder(read_tokenizer(backbone), 8, 8)


def trained(backbone: str, encoder: TextEncoder, folder: Path, schedule: Schedule = SCHEDULE) -> PreTrainedModel:
    torch.manual_seed(0)
    model = load_cross_encoder(backbone, 1)
    folder.mkdir(exist_ok=True)
    fit(model, LISTS, encoder, gold_loss(["fit"], 1.0), schedule, folder)
    return model


def test_a_tiny_list_is_learnt(backbone: str, encoder: TextEncoder, tmp_path: Path) -> None:
    model = trained(backbone, encoder, tmp_path)
    logits = predict_lists(model, encoder, LISTS[:3]).reshape(3, 3)
    assert logits.argmax(1).tolist() == [0, 1, 2]


def test_the_same_seed_gives_the_same_losses(backbone: str, encoder: TextEncoder, tmp_path: Path) -> None:
    short = dataclasses.replace(SCHEDULE, steps=5)
    losses = []
    for name in ("one", "two"):
        trained(backbone, encoder, tmp_path / name, short)
        losses.append([json.loads(line)["loss"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()])
    assert losses[0] == losses[1]


def test_a_run_that_was_cut_off_ends_with_the_same_weights(backbone: str, encoder: TextEncoder, tmp_path: Path) -> None:
    whole = trained(backbone, encoder, tmp_path / "whole")

    def cut(logits: torch.Tensor, batch: TrainBatch) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 30:
            raise KeyboardInterrupt
        return gold_loss(["fit"], 1.0)(logits, batch)

    calls: list[int] = []
    torch.manual_seed(0)
    (tmp_path / "cut").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fit(load_cross_encoder(backbone, 1), LISTS, encoder, cut, SCHEDULE, tmp_path / "cut")
    resumed = trained(backbone, encoder, tmp_path / "cut")
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor, msg=name)


def test_a_loss_that_is_not_finite_stops_before_the_optimiser_moves(
    backbone: str, encoder: TextEncoder, tmp_path: Path
) -> None:
    model = load_cross_encoder(backbone, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(TrainingStopped, match="the loss is nan at step 0"):
        fit(model, LISTS, encoder, lambda logits, _: logits.sum() * float("nan"), SCHEDULE, tmp_path)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_too_few_lists_are_an_error(backbone: str, encoder: TextEncoder, tmp_path: Path) -> None:
    with pytest.raises(TrainingStopped, match="2 lists are fewer than one step's 4"):
        fit(load_cross_encoder(backbone, 1), LISTS[:2], encoder, gold_loss(["fit"], 1.0), SCHEDULE, tmp_path)


def test_padded_places_carry_no_target(encoder: TextEncoder) -> None:
    short = CandidateList("x", "s", "nurse", ("ward",), {"fit": np.array([1.0])})
    batch = make_batch([LISTS[0], short], encoder)
    assert batch.masks["fit"].tolist() == [[True] * 3, [True, False, False]]
    places = batch.unflatten(torch.arange(4.0).unsqueeze(1))[..., 0]
    assert places.tolist() == [[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]]


def test_predictions_keep_the_order_given_whatever_the_batches(backbone: str, encoder: TextEncoder) -> None:
    pairs = encode_lists(encoder, LISTS)
    model = load_cross_encoder(backbone, 1)
    together = predict(model, encoder, pairs)
    alone = np.concatenate([predict(model, encoder, [pair]) for pair in pairs])
    np.testing.assert_allclose(together, alone, atol=2e-2)  # bf16 autocast
    assert len(np.unique(np.round(alone[:9], 4))) > 1


def test_a_student_starts_as_layers_of_its_teacher(backbone: str) -> None:
    teacher = load_cross_encoder(backbone, 1)
    student = keep_layers(teacher, (1,))
    kept_layers: Any = student.base_model.encoder
    original_layers: Any = teacher.base_model.encoder
    assert student.config.num_hidden_layers == len(kept_layers.layer) == 1
    kept, original = kept_layers.layer[0], original_layers.layer[1]
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), original.parameters(), strict=True))
