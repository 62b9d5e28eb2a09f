"""The teacher's loss against numbers worked out by hand: what has no grade asks for nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training.data.lists import CandidateList
from training.nets.item_scorer import expected_logits
from training.objectives.ordinal import cumulative_loss, ordinal_loss
from training.objectives.pairwise import ListLabels, label_lists

CPU = torch.device("cpu")
HEADS = ("relevance", "role")


def labels(relevance: list[float], role: list[float], answerable: list[float]) -> ListLabels:
    columns = {"relevance": relevance, "role": role, "role_answerable": answerable}
    each = CandidateList(
        "l", "s", "m", tuple("abc"[: len(role)]), {name: np.array(found) for name, found in columns.items()}
    )
    return label_lists([each], CPU)


def test_each_step_of_a_grade_is_a_question() -> None:
    logits = torch.tensor([[[2.0, 1.0, -1.0, -2.0]]])
    found = cumulative_loss(logits, torch.tensor([[0.5]]), torch.tensor([[True]])).value
    wanted = sum(math.log1p(math.exp(-z)) for z in (2, 1, 1, 2))  # at least 1, at least 2; not 3, not 4
    assert found.item() == pytest.approx(wanted)


def test_a_gain_between_two_grades_is_the_expected_one() -> None:
    logits = torch.zeros(1, 1, 4, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(300):
        optimizer.zero_grad()
        cumulative_loss(logits, torch.tensor([[0.6]]), torch.tensor([[True]])).value.backward()
        optimizer.step()
    assert expected_logits(logits).sigmoid().item() == pytest.approx(0.6, abs=0.01)


def test_what_has_no_grade_has_no_gradient_and_does_not_dilute() -> None:
    nan = math.nan
    outputs = torch.randn(1, 3, 10, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = ordinal_loss(HEADS, {}, 0.0, 0.0, 0.0)
    loss(outputs, labels([nan, nan, nan], [1.0, nan, nan], [nan, nan, nan])).value().backward()
    assert outputs.grad is not None
    moved = outputs.grad[0].abs() > 0
    assert moved[0, 5:9].all()
    assert moved.sum() == 4
    alone = loss(outputs[:, :1], labels([nan], [1.0], [nan])).value()
    found = loss(outputs, labels([nan, nan, nan], [1.0, nan, nan], [nan, nan, nan])).value()
    assert found.item() == pytest.approx(alone.item())


def test_whether_it_can_be_answered_is_learnt_where_it_was_asked() -> None:
    nan = math.nan
    outputs = torch.zeros(1, 3, 10, requires_grad=True)
    total = ordinal_loss(HEADS, {}, 1.0, 0.0, 0.0)(outputs, labels([nan] * 3, [1.0, nan, nan], [1.0, 0.0, nan])).value()
    total.backward()
    assert outputs.grad is not None
    gradient = outputs.grad[0, :, 9]
    assert gradient[0] < 0 < gradient[1]
    assert gradient[2] == 0
    assert total.item() == pytest.approx(4 * math.log(2) / 2 + math.log(2))  # the mean of two heads, and one more term


def test_the_ranking_term_moves_the_best_above_the_rest() -> None:
    outputs = torch.zeros(1, 3, 10, requires_grad=True)
    nan = math.nan
    ordinal_loss(HEADS, {}, 0.0, 0.0, 1.0)(outputs, labels([1.0, 0.0, 0.25], [nan] * 3, [nan] * 3)).value().backward()
    assert outputs.grad is not None
    first, middle, last = (outputs.grad[0, place, :4].sum().item() for place in (0, 2, 1))
    assert first < middle < last


def test_a_heavier_head_counts_more() -> None:
    outputs, nan = torch.ones(1, 3, 10), math.nan
    given = labels([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [nan] * 3)
    light, heavy = (
        ordinal_loss(HEADS, {"role": weight}, 0.0, 0.0, 0.0)(outputs, given).value() for weight in (1.0, 9.0)
    )
    assert heavy > light


def test_expected_logits_are_exact_in_both_tails() -> None:
    far = torch.tensor([[30.0, 30.0, 30.0, 30.0], [-30.0, -30.0, -30.0, -30.0]])
    assert expected_logits(far).tolist() == pytest.approx([30, -30])
    assert expected_logits(torch.tensor([[7.5]])).item() == pytest.approx(7.5)
