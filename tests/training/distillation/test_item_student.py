"""The student with slots of items learns from grades and soft labels of all heads together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.text import TextEncoder
from tests.support.two_questions import HEADS, labelled
from training.data.lists import CandidateList
from training.distillation.item_student import FURTHER_COSINE, learn, lists_to_learn, start_student, weigh_cosine
from training.nets.cross_encoder import CrossEncoder, new_cross_encoder
from training.nets.shapes import DOT, SplitShape
from training.nets.split_student import SplitStudent
from training.objectives.graded_batches import predict_batches
from training.recipe import HeadNames, StudentPlan
from training.trainer.schedule import Phases, Schedule

NAMES = HeadNames(("relevance",), ("click",), ("relevance",))
SHAPES = [DOT, SplitShape(3, 16)]


def with_answerable(each: CandidateList, chance: float) -> CandidateList:
    return replace(each, labels={**each.labels, "relevance_answerable": np.full(len(each), chance)})


def test_outputs_are_the_heads_and_then_whether_open_ones_can_be_answered() -> None:
    assert NAMES.outputs == ("relevance", "click", "relevance_answerable")


def test_grades_and_soft_labels_become_lists_with_the_same_labels() -> None:
    graded = [CandidateList("g", "s", "baker", ("oven",), {"relevance": np.array([1.0])})]
    (first,), (second,) = lists_to_learn(graded, [], [with_answerable(labelled(("relevance",))[0], 0.25)], NAMES)
    assert set(first.labels) == set(second.labels)
    assert first.labels["relevance"].tolist() == [1.0]
    assert np.isnan(first.labels["relevance_soft"]).all()
    assert second.labels["relevance"].tolist() == [1.0, 0.0, 0.0]
    assert second.labels["relevance_soft"][0] == pytest.approx(1 / (1 + np.exp(-3)))
    assert np.isnan(second.labels["click"]).all()  # an action has no grade
    assert second.labels["relevance_answerable_soft"].tolist() == [0.25] * 3


def test_a_graded_list_keeps_its_grades_beside_soft_labels() -> None:
    soft = with_answerable(labelled(("relevance",))[0], 0.25)
    answerable = np.array([1.0, 1.0, 0.0])
    given = {"relevance": np.array([0.5, 0.5, np.nan]), "relevance_answerable": answerable}
    built = CandidateList("built", "constructed", "baker", ("oven",), {"relevance": np.array([1.0])})
    (first,), (second,) = lists_to_learn([replace(soft, labels=given)], [built], [soft], NAMES)
    np.testing.assert_array_equal(first.labels["relevance"], given["relevance"])
    assert first.labels["relevance_soft"][0] == pytest.approx(1 / (1 + np.exp(-3)))
    np.testing.assert_array_equal(first.labels["relevance_answerable"], answerable)
    assert (second.list_id, set(second.labels)) == ("built", set(first.labels))


# A dot product has no more than a weight a head while the encoder is frozen.
@pytest.mark.parametrize(("shape", "error"), [(SHAPES[0], 0.3), (SHAPES[1], 0.15)], ids=["dot", "items"])
def test_a_student_of_any_shape_learns_all_heads(
    backbone: str, encoder: TextEncoder, tmp_path: Path, shape: SplitShape, error: float
) -> None:
    torch.manual_seed(0)
    _, lists = lists_to_learn([], [], [with_answerable(each, 0.9) for each in labelled(("relevance",))], NAMES)
    texts = [text for each in lists for text in (each.member, each.candidates[0])]
    student = start_student(new_cross_encoder(backbone, 1), backbone, shape, NAMES.outputs, texts)
    schedule = Schedule(steps=60, lists_per_step=6, learning_rate=3e-3, added_learning_rate=3e-3)
    plan = StudentPlan(phases=Phases(schedule, schedule), gold_anchor=1.0, split=shape, trained_layers=1)
    learnt = learn(student, encoder, lists[::2], lists[1::2], NAMES.outputs, plan, tmp_path)
    logits = predict_batches(learnt, encoder, lists)
    for index, head in enumerate(HEADS):
        wanted = np.concatenate([each.labels[f"{head}_soft"] for each in lists])
        assert np.abs(1 / (1 + np.exp(-logits[:, index])) - wanted).mean() < error
    assert 1 / (1 + np.exp(-logits[:, 2].mean())) == pytest.approx(0.9, abs=0.1)
    assert (tmp_path / "frozen" / "log.jsonl").exists()
    assert (tmp_path / "upper" / "log.jsonl").exists()


def untrained(backbone: str, cosine_share: float) -> tuple[CrossEncoder, SplitStudent]:
    """A student without a readout: it ranks by the cosine alone, or not at all."""
    torch.manual_seed(0)
    start = new_cross_encoder(backbone, 1)
    student = start_student(start, backbone, SHAPES[1], ("relevance",), ["oven", "steel"], cosine_share=cosine_share)
    with torch.no_grad():
        student.scorer.readout.own[0].weight.zero_()
    return start, student


def ranked_by(student: SplitStudent, encoder: TextEncoder) -> list[CandidateList]:
    """Lists whose best candidate is the student's."""
    lists = labelled(("relevance",))
    logits = predict_batches(student, encoder, lists).reshape(len(lists), -1)
    return [
        replace(each, labels={"relevance": (row == row.max()) * 1.0}) for each, row in zip(lists, logits, strict=True)
    ]


def test_the_cosine_gets_a_share_where_it_ranks_better_than_what_was_learnt(
    backbone: str, encoder: TextEncoder
) -> None:
    start, student = untrained(backbone, 0.0)
    lists = ranked_by(untrained(backbone, 1.0)[1], encoder)
    found = weigh_cosine(student, start, encoder, lists, "relevance")
    assert tuple(found) == FURTHER_COSINE
    assert found[0.0] < found[0.1] == 1
    torch.testing.assert_close(student.scorer.weight[0], 0.1 * start.weight[0])


def test_the_cosine_gets_no_share_where_the_student_ranks_as_people_do(backbone: str, encoder: TextEncoder) -> None:
    start, student = untrained(backbone, 1.0)
    before = student.scorer.weight.clone()
    found = weigh_cosine(student, start, encoder, ranked_by(student, encoder), "relevance")
    assert found[0.0] == 1
    torch.testing.assert_close(student.scorer.weight, before)
