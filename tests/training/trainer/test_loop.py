"""The training loop: it learns tiny lists, is deterministic, resumes exactly, and stops on a non-finite loss."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from models.text import TextEncoder
from tests.support.gain_loss import gain_loss
from tests.support.tiny_encoder import WORDS
from training.data.lists import CandidateList
from training.nets.cross_encoder import CrossEncoder, new_cross_encoder
from training.nets.inference import predict_lists
from training.objectives.pairwise import pair_objective
from training.trainer.loop import Mixture, TrainingStopped, Validation, fit, mixed
from training.trainer.schedule import Schedule

LISTS = [
    CandidateList(f"{a}", "s", a, tuple(WORDS[3:]), {"fit": np.array([1.0 if b == i else 0.0 for b in range(3)])})
    for i, a in enumerate(WORDS[:3])
] * 4
SCHEDULE = Schedule(steps=80, lists_per_step=4, learning_rate=1e-3, checkpoint_every=20)


def trained(backbone: str, encoder: TextEncoder, folder: Path, schedule: Schedule = SCHEDULE) -> CrossEncoder:
    torch.manual_seed(0)
    model = new_cross_encoder(backbone, 1)
    folder.mkdir(exist_ok=True)
    fit(model, LISTS, pair_objective(model, encoder, gain_loss(["fit"])), schedule, folder)
    return model


def test_tiny_lists_are_learnt(backbone: str, encoder: TextEncoder, tmp_path: Path) -> None:
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


def test_an_interrupted_run_ends_with_the_same_weights(backbone: str, encoder: TextEncoder, tmp_path: Path) -> None:
    whole = trained(backbone, encoder, tmp_path / "whole")

    torch.manual_seed(0)
    model = new_cross_encoder(backbone, 1)
    objective = pair_objective(model, encoder, gain_loss(["fit"]))
    calls: list[int] = []

    def cut(lists: Sequence[CandidateList]) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 30:
            raise KeyboardInterrupt
        return objective(lists)

    (tmp_path / "cut").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fit(model, LISTS, cut, SCHEDULE, tmp_path / "cut")
    resumed = trained(backbone, encoder, tmp_path / "cut")
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor, msg=name)


def test_a_loss_that_is_not_finite_stops_before_the_optimizer_steps(backbone: str, tmp_path: Path) -> None:
    model = new_cross_encoder(backbone, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(TrainingStopped, match="the loss is nan at step 0"):
        fit(model, LISTS, lambda _: model.bias.sum() * float("nan"), SCHEDULE, tmp_path)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_too_few_lists_are_an_error(backbone: str, tmp_path: Path) -> None:
    model = new_cross_encoder(backbone, 1)
    with pytest.raises(TrainingStopped, match="a step needs 4 lists, and there are only 2"):
        fit(model, LISTS[:2], lambda _: model.bias.sum(), SCHEDULE, tmp_path)


def test_parameters_added_to_the_backbone_have_their_own_learning_rate(backbone: str, tmp_path: Path) -> None:
    model = new_cross_encoder(backbone, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    schedule = Schedule(steps=1, lists_per_step=4, learning_rate=1e-5, added_learning_rate=1e-2, weight_decay=0.0)
    fit(model, LISTS, lambda _: sum_of_parameters(model), schedule, tmp_path)
    moved = {name: (tensor - before[name]).abs().max().item() for name, tensor in model.state_dict().items()}
    assert moved["bias"] == pytest.approx(1e-2, rel=1e-3)
    assert moved["backbone.encoder.layer.0.output.dense.weight"] == pytest.approx(1e-5, rel=0.1)


def test_only_matrices_decay(backbone: str, tmp_path: Path) -> None:
    model = new_cross_encoder(backbone, 1)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    schedule = Schedule(steps=1, lists_per_step=4, learning_rate=0.1, added_learning_rate=0.1, weight_decay=0.5)
    fit(model, LISTS, lambda _: 0 * sum_of_parameters(model), schedule, tmp_path)
    for name, parameter in model.named_parameters():
        kept = 1 - 0.1 * 0.5 if parameter.dim() > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), kept * before[name].detach(), msg=name)


def sum_of_parameters(model: CrossEncoder) -> torch.Tensor:
    return torch.stack([parameter.sum() for parameter in model.parameters()]).sum()


def weight_of(model: torch.nn.Linear) -> float:
    return float(model.weight.item())


def test_training_stops_without_a_new_best_and_keeps_the_best_weights(tmp_path: Path) -> None:
    model, seen = torch.nn.Linear(1, 1), []
    qualities = iter([0.1, 0.5, 0.4, 0.3, 0.2])

    def measure() -> float:
        seen.append(weight_of(model))
        return next(qualities)

    schedule = Schedule(steps=40, lists_per_step=4, learning_rate=0.1, added_learning_rate=0.1)
    validation = Validation(measure, every=3, patience=2, after=2)
    fit(model, LISTS, lambda _: model.weight.sum(), schedule, tmp_path, validation=validation)
    assert len(seen) == 4  # two without a new best
    assert weight_of(model) == seen[1]
    assert weight_of(model) != seen[-1]
    steps = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] + 1 for line in steps if "valid" in line] == [3, 6, 9, 12]


def test_a_stopped_training_is_over_when_it_is_called_again(tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1)
    schedule = Schedule(steps=40, lists_per_step=4, learning_rate=0.1, added_learning_rate=0.1)
    falling = iter(range(0, -90, -1))
    once = Validation(lambda: float(next(falling)), every=1, patience=2)
    fit(model, LISTS, lambda _: model.weight.sum(), schedule, tmp_path, validation=once)
    kept = weight_of(model)
    fit(model, LISTS, lambda _: pytest.fail("trained again"), schedule, tmp_path, validation=once)
    assert weight_of(model) == kept


def test_a_mixture_comes_first_and_then_by_chance() -> None:
    schedule = Schedule(steps=200, lists_per_step=2, learning_rate=0.1)
    others = [dataclasses.replace(each, source="other") for each in LISTS]
    batches = mixed(LISTS, Mixture(others, first=20, share=0.3), schedule)
    kinds = [{each.source for each in next(batches)} for _ in range(200)]
    assert all(kind == {"other"} for kind in kinds[:20])
    share = sum(kind == {"other"} for kind in kinds[20:]) / 180
    assert 0.2 < share < 0.4
    assert {"s"} in kinds


def test_the_rate_is_constant_and_falls_at_the_end(tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    rates: list[float] = []
    before = [weight_of(model)]

    def objective(_: Sequence[CandidateList]) -> torch.Tensor:
        rates.append(before[0] - weight_of(model))
        before[0] = weight_of(model)
        return model.weight.sum()

    schedule = Schedule(
        steps=40, lists_per_step=4, learning_rate=0.1, added_learning_rate=0.1, weight_decay=0.0, decay_share=0.25
    )
    fit(model, LISTS, objective, schedule, tmp_path)
    assert rates[10] == pytest.approx(rates[25], rel=0.01)
    assert rates[-1] < 0.5 * rates[25]
