"""Each lever of a student with slots of items changes what it names, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from models.text import TextEncoder
from tests.support.two_questions import labelled
from training.data.lists import CandidateList
from training.distillation import item_ablation
from training.distillation.item_ablation import WITHOUT, Bench, Trial, figures, pools_alone
from training.distillation.item_student import start_student
from training.nets.cross_encoder import new_cross_encoder
from training.nets.shapes import SplitShape
from training.nets.split_student import SplitStudent
from training.objectives.graded_batches import Weights, graded_batches, predict_batches, reader
from training.recipe import HeadNames, ItemLever, StudentPlan
from training.trainer.schedule import Phases, Schedule

SHAPE = SplitShape(3, 16)
SHORT = Schedule(steps=2, lists_per_step=3, learning_rate=1e-2, added_learning_rate=1e-2)
HEADS = HeadNames(("relevance",), ("click",))
PLAN = StudentPlan(phases=Phases(SHORT, SHORT), gold_anchor=1.0, split=SHAPE, trained_layers=1)


def graded() -> list[CandidateList]:
    return [replace(each, labels={"relevance": each.labels["relevance_gold"]}) for each in labelled(("relevance",))]


TRIAL = Trial(graded()[:3], graded()[3:6], labelled(("relevance",))[:3], PLAN)


def test_every_lever_of_the_recipe_changes_one_thing() -> None:
    changed = {
        lever: [each.name for each in fields(Trial) if getattr(without(TRIAL), each.name) != getattr(TRIAL, each.name)]
        for lever, without in WITHOUT.items()
    }
    assert changed == {
        "constructed lists": ["constructed"],
        "soft labels": ["soft"],
        "cumulative logits": ["one_logit"],
        "slots of items": ["reads_items"],
        "small cosine": ["cosine_share"],
        "upper layers": ["plan"],
    }
    assert list(WITHOUT) == list(get_args(ItemLever))


@pytest.fixture
def bench(backbone: str, encoder: TextEncoder) -> Bench:
    return Bench(new_cross_encoder(backbone, 1), backbone, encoder, HEADS, graded()[:3], seed=0)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[SplitStudent]:
    """Students as they are before they are measured."""
    found: list[SplitStudent] = []

    def note(student: SplitStudent, *rest: object) -> np.ndarray:
        found.append(student)
        return predict_batches(student, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(item_ablation, "predict_batches", note)
    return found


def test_the_encoder_learns_unless_its_upper_layers_are_left_out(
    bench: Bench, kept: list[SplitStudent], tmp_path: Path
) -> None:
    for name, trial in (("whole", TRIAL), ("frozen", WITHOUT["upper layers"](TRIAL))):
        assert set(bench.measure(trial, tmp_path / name)) == {"relevance NDCG@10", "relevance pairs in order"}
    before = bench.start.backbone.state_dict()
    moved = [
        any(not torch.equal(tensor, before[name]) for name, tensor in each.backbone.state_dict().items())
        for each in kept
    ]
    assert moved == [True, False]


def test_the_same_trial_gives_the_same_figures(bench: Bench, tmp_path: Path) -> None:
    one, other = (bench.measure(TRIAL, tmp_path / name) for name in ("one", "other"))
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


def logits_of(bench: Bench, lists: Sequence[CandidateList], *, items: bool, one_logit: bool) -> float:
    """The loss of an untrained student whose heads answer more than the cosine."""
    torch.manual_seed(0)
    student = start_student(bench.start, bench.tokenizer, SHAPE, ["relevance"], ["oven", "steel"]).eval()
    torch.nn.init.normal_(student.scorer.readout.own[0].weight)
    read = reader(student, bench.encoder)
    objective = graded_batches(
        student, bench.encoder, ["relevance"], Weights(one_logit=one_logit), read if items else pools_alone(read)
    )
    return objective(lists).item()


def test_items_and_steps_of_a_grade_count_unless_they_are_left_out(bench: Bench) -> None:
    whole = logits_of(bench, graded(), items=True, one_logit=False)
    assert logits_of(bench, graded(), items=False, one_logit=False) != pytest.approx(whole, rel=1e-3)
    assert logits_of(bench, graded(), items=True, one_logit=True) < 0.5 * whole  # four terms are one


def test_figures_are_those_of_a_known_order() -> None:
    lists = [replace(graded()[0], labels={"relevance": np.array([1.0, 0.5, 0.0])})]
    right, wrong = np.array([[3.0], [2.0], [1.0]]), np.array([[1.0], [2.0], [3.0]])
    assert figures(["relevance"], right, lists)["relevance pairs in order"].tolist() == [1.0]
    assert figures(["relevance"], wrong, lists)["relevance pairs in order"].tolist() == [0.0]
    worst = (3 / np.log2(3) + 15 / np.log2(4)) / (15 + 3 / np.log2(3))
    assert figures(["relevance"], wrong, lists)["relevance NDCG@10"].tolist() == pytest.approx([worst])
