"""A step's loss and gradients are the same however its lists are divided."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from models.text import TextEncoder
from tests.support.gain_loss import gain_loss
from tests.support.tiny_encoder import WORDS
from training.data.impressions import POSITION
from training.data.lists import CandidateList
from training.data.soft_labels import SoftColumns
from training.distillation.multi_teacher_loss import distillation_loss
from training.nets.cross_encoder import CrossEncoder, new_cross_encoder
from training.objectives.losses import RANKING_TERMS
from training.objectives.ordinal import ordinal_loss
from training.objectives.pairwise import ListLoss, PairObjective
from training.objectives.position_bias import Examination, engagement_loss
from training.trainer.distributed import SINGLE_PROCESS
from training.trainer.loop import fit
from training.trainer.parts import Parts
from training.trainer.schedule import Schedule

NAN = np.nan
HEADS = ("relevance", "role")
COLUMNS = [name for head in HEADS for name in vars(SoftColumns.of(head)).values() if isinstance(name, str)]
# Of three lists one has all grades, one has a single one, and one has none: no part counts as the whole does.
GRADES = ([1.0, 0.25, 0.0], [NAN, 0.5, NAN], [NAN, NAN, NAN])


def lists() -> list[CandidateList]:
    found = []
    for number, grades in enumerate(GRADES):
        given = np.array(grades)
        labels = {name: given for name in (*HEADS, *COLUMNS)}
        labels |= {"click": np.rint(given), POSITION: np.array([1.0, 2.0, 3.0])}
        labels |= {SoftColumns.of("relevance").answerable: np.array([1.0, 0.0, 1.0] if number else [NAN] * 3)}
        found.append(CandidateList(f"m{number}", "s", WORDS[number], tuple(WORDS[3:]), labels))
    return found


LOSSES: dict[str, tuple[ListLoss, int]] = {
    "grades of a policy": (ordinal_loss(HEADS, {"role": 3.0}, 0.5, 0.5, 0.7), 10),
    "gains": (gain_loss(["relevance"]), 1),
    "clicks": (engagement_loss(["click"], ["click"], Examination(3)), 1),
    "clicks without places": (engagement_loss(["click"], [], None), 1),
    **{name: (distillation_loss({"relevance": 1.0}, name, 0.5, 0.1), 1) for name in RANKING_TERMS},
}


def gradient(backbone: str, encoder: TextEncoder, name: str, at_once: int | None) -> tuple[float, torch.Tensor]:
    """The loss of one step and its gradient to the model's own weights."""
    loss, outputs = LOSSES[name]
    torch.manual_seed(0)
    model = new_cross_encoder(backbone, outputs).eval()
    objective = PairObjective(model, encoder, loss)
    value = Parts(objective, objective, at_once, SINGLE_PROCESS).backward(lists())
    assert model.weight.grad is not None
    return value, model.weight.grad


@pytest.fixture(autouse=True)
def fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """On any CPU: what is compared is what the parts divide by, not how bf16 rounds."""
    monkeypatch.setattr("training.trainer.precision._has_bf16", lambda _: False)


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("name", LOSSES)
def test_a_step_in_parts_gives_the_loss_and_the_gradient_of_the_whole(
    backbone: str, encoder: TextEncoder, name: str, at_once: int
) -> None:
    whole, wanted = gradient(backbone, encoder, name, None)
    found, parts = gradient(backbone, encoder, name, at_once)
    assert whole > 0
    assert found == pytest.approx(whole, rel=1e-5)
    assert float((parts - wanted).norm() / wanted.norm()) < 1e-4


def test_means_of_parts_are_not_the_mean_of_the_whole(backbone: str, encoder: TextEncoder) -> None:
    """The control: what a step would learn if each part divided by its own counts."""
    model = new_cross_encoder(backbone, 10).eval()
    objective = PairObjective(model, encoder, LOSSES["grades of a policy"][0])
    mean = torch.stack([objective([each]) for each in lists()]).mean()
    assert mean.item() != pytest.approx(objective(lists()).item(), rel=0.05)


@pytest.mark.parametrize("name", LOSSES)
def test_labels_alone_count_what_a_loss_divides_by(backbone: str, encoder: TextEncoder, name: str) -> None:
    loss, outputs = LOSSES[name]
    model = new_cross_encoder(backbone, outputs)
    counted: list[torch.Tensor] = []

    def note(logits: torch.Tensor, labels: object) -> object:
        terms = loss(logits, labels)  # type: ignore[arg-type]
        counted.append(terms.counts)
        return terms

    objective = PairObjective(model, encoder, note)  # type: ignore[arg-type]
    objective.counts(lists())
    objective(lists())
    assert counted[0].tolist() == counted[1].tolist()


def test_an_objective_in_which_lists_meet_is_not_divided(backbone: str, tmp_path: Path) -> None:
    model = new_cross_encoder(backbone, 1)

    def meeting(some: Sequence[CandidateList]) -> torch.Tensor:
        return model.bias.sum() * len(some)

    schedule = Schedule(steps=1, lists_per_step=3, learning_rate=1e-3)
    with pytest.raises(TypeError, match="one process must read a step at once"):
        fit(model, lists(), meeting, schedule, tmp_path / "parts", lists_at_once=1)
    fit(model, lists(), meeting, schedule, tmp_path / "whole", lists_at_once=3)


def test_training_in_parts_ends_with_the_same_weights(backbone: str, encoder: TextEncoder, tmp_path: Path) -> None:
    def trained(at_once: int | None) -> tuple[CrossEncoder, list[float]]:
        torch.manual_seed(0)
        model, folder = new_cross_encoder(backbone, 10), tmp_path / str(at_once)
        for module in model.modules():  # each part would draw its own
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        objective = PairObjective(model, encoder, LOSSES["grades of a policy"][0])
        schedule = Schedule(steps=3, lists_per_step=3, learning_rate=1e-4)
        fit(model, lists(), objective, schedule, folder, lists_at_once=at_once)
        return model, [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]

    (one, losses), (other, in_parts) = trained(None), trained(1)
    assert in_parts == pytest.approx(losses, rel=1e-4)
    torch.testing.assert_close(other.weight, one.weight, rtol=1e-4, atol=1e-5)
