"""A split student learns from grades and soft labels, encoder and all."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from models.text import TextEncoder
from training.data.lists import CandidateList
from training.nets.cross_encoder import new_cross_encoder
from training.nets.shapes import DOT, SplitShape
from training.nets.split_student import SplitStudent, new_split_student
from training.objectives.graded_batches import (
    Weights,
    graded_batches,
    remembering,
    score_batch,
    train_upper_layers,
)
from training.objectives.ordinal import in_order

OUTPUTS = ("relevance", "terms", "terms_answerable")
UNKNOWN = np.full(2, np.nan)
SHAPES = [DOT, SplitShape(3, 16)]


def one(member: str, candidates: tuple[str, str], **labels: list[float]) -> CandidateList:
    names = (*OUTPUTS, *(f"{name}_soft" for name in OUTPUTS))
    known: Mapping[str, list[float]] = labels
    return CandidateList(
        member, "s", member, candidates, {name: np.array(known.get(name, UNKNOWN), float) for name in names}
    )


GRADED = one("baker", ("oven", "steel"), relevance=[1, 0], terms=[0, math.nan], terms_answerable=[1, 0])
SOFT = one("welder", ("steel", "ward"), relevance_soft=[0.9, 0.1], terms_answerable_soft=[0.2, 0.8])


def new_student(backbone: str, shape: SplitShape) -> SplitStudent:
    torch.manual_seed(0)
    return new_split_student(new_cross_encoder(backbone, len(OUTPUTS)), shape, (0, 2, 3))


def losses(student: SplitStudent, encoder: TextEncoder, lists: list[CandidateList], steps: int = 40) -> list[float]:
    objective = graded_batches(student, encoder, OUTPUTS)
    optimizer = torch.optim.AdamW([each for each in student.parameters() if each.requires_grad], lr=3e-3)
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = objective(lists)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=["dot", "items"])
def test_a_student_of_any_shape_learns(backbone: str, encoder: TextEncoder, shape: SplitShape) -> None:
    student = train_upper_layers(new_student(backbone, shape), 1)
    found = losses(student, encoder, [GRADED, SOFT])
    assert found[-1] < 0.6 * found[0]
    with torch.inference_mode():
        logits, columns = score_batch(student, encoder, [GRADED, SOFT])
    assert [row[order].argmax().item() for row, order in zip(logits[..., 0], columns, strict=True)] == [0, 0]


def test_grades_move_the_logits_of_their_own_steps(backbone: str, encoder: TextEncoder) -> None:
    student = new_student(backbone, SHAPES[1])
    middling = one("baker", ("oven", "steel"), relevance=[0.5, 0.5])
    losses(student, encoder, [middling])
    read = remembering(student.eval(), encoder)
    member, mask = read([encoder.member("baker")])
    slots = student.slots(*read(encoder.candidates(["oven", "steel"]))).unsqueeze(0)
    steps = student.scorer.steps(student.member(member, mask), slots, student.keys_values(member, mask), mask)
    assert (steps[..., 0, :2] > 1).all()  # a grade of 2 is at least 1 and 2
    assert (steps[..., 0, 2:] < -1).all()  # and not 3 or 4


def test_what_is_remembered_has_no_dropout(backbone: str, encoder: TextEncoder) -> None:
    student = new_student(backbone, SHAPES[1]).train()
    for module in student.backbone.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    trained, _ = remembering(student, encoder)([encoder.member("baker")])
    assert student.backbone.training
    judged, _ = remembering(student.eval(), encoder)([encoder.member("baker")])
    assert torch.equal(trained.states, judged.states)


def test_soft_labels_alone_teach(backbone: str, encoder: TextEncoder) -> None:
    found = losses(new_student(backbone, SHAPES[1]), encoder, [SOFT])
    assert found[-1] < found[0] - 0.3


def test_an_unknown_label_teaches_nothing(backbone: str, encoder: TextEncoder) -> None:
    student = new_student(backbone, SHAPES[1])
    graded_batches(student, encoder, OUTPUTS)([one("baker", ("oven", "steel"))]).backward()
    assert all(each.grad is None or not each.grad.any() for each in student.parameters())


def test_only_the_upper_layers_of_the_encoder_train(backbone: str, encoder: TextEncoder) -> None:
    student = train_upper_layers(new_student(backbone, SHAPES[1]), 1)
    before = {name: each.clone() for name, each in student.backbone.state_dict().items()}
    losses(student, encoder, [GRADED], steps=2)
    moved = {name for name, each in student.backbone.state_dict().items() if not torch.equal(each, before[name])}
    assert moved
    assert all(name.startswith("encoder.layer.1.") for name in moved)


def test_pairs_in_order_count_by_the_difference_of_their_grades() -> None:
    logits, targets = torch.tensor([[1.0, 0.0, 2.0]]), torch.tensor([[1.0, 0.5, 0.0]])
    mask = torch.ones_like(targets, dtype=torch.bool)
    better, worse, wrong = math.log1p(math.exp(-1)), math.log1p(math.exp(2)), math.log1p(math.exp(1))
    wanted = (0.5 * better + 0.5 * worse + 1.0 * wrong) / 2
    assert in_order(logits, targets, mask).value.item() == pytest.approx(wanted, abs=1e-6)
    assert in_order(logits, targets, torch.tensor([[True, False, False]])).value.item() == 0


def test_other_lists_candidates_count_as_not_fitting_by_their_weight(backbone: str, encoder: TextEncoder) -> None:
    student = new_student(backbone, SHAPES[1])
    with torch.inference_mode():
        alone = graded_batches(student, encoder, OUTPUTS, Weights(others=0))([GRADED, SOFT])
        beside = graded_batches(student, encoder, OUTPUTS, Weights(others=1))([GRADED, SOFT])
    assert beside > alone


def test_a_frozen_encoder_is_remembered(backbone: str, encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    student = new_student(backbone, SHAPES[1]).eval()
    with torch.inference_mode():
        wanted, _ = score_batch(student, encoder, [GRADED, SOFT])
        read = remembering(student, encoder)
        score_batch(student, encoder, [GRADED, SOFT], read)
        monkeypatch.setattr(student, "encode", None)  # would fail if it were called
        found, _ = score_batch(student, encoder, [GRADED, SOFT], read)
    # Kept in f16, and a number of a state is rounded to a whole one.
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.2)
