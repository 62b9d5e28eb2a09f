"""Losses against numbers worked out by hand, and against padding, extremes and direction."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from training.losses import binary_kl, list_kl, margin_mse

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
ALL: tuple[Loss, ...] = (binary_kl, list_kl, margin_mse)
FULL = torch.ones(1, 2, dtype=torch.bool)


def test_binary_kl_matches_hand_calculation() -> None:
    logits, targets = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.25]])
    second = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert binary_kl(logits, targets, FULL).item() == pytest.approx((math.log(2) + second) / 2)


def test_list_kl_matches_hand_calculation() -> None:
    logits, weights = torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([[1.0, 1.0]])
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert list_kl(logits, weights, FULL).item() == pytest.approx(expected)


def test_margin_mse_matches_hand_calculation() -> None:
    logits, teacher = torch.tensor([[2.0, 0.0]]), torch.tensor([[5.0, 4.0]])
    # margins 2 and 1 in both directions: (1 + 1) / 4 places, the two zero differences of a candidate with
    # itself included
    assert margin_mse(logits, teacher, FULL).item() == pytest.approx(0.5)


def test_margin_mse_does_not_see_the_level() -> None:
    logits = torch.tensor([[2.0, 0.5]])
    assert margin_mse(logits, logits + 7, FULL).item() == pytest.approx(0.0, abs=1e-9)


def test_binary_kl_is_zero_where_student_equals_target() -> None:
    logits = torch.tensor([[1.5, -2.0]])
    assert binary_kl(logits, torch.sigmoid(logits), FULL).item() == pytest.approx(0.0, abs=1e-6)


def test_list_kl_is_zero_where_student_equals_target() -> None:
    logits = torch.tensor([[1.5, -2.0]])
    assert list_kl(logits, torch.softmax(logits, 1), FULL).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("loss", ALL)
def test_padded_candidates_change_nothing(loss: Loss) -> None:
    logits, targets = torch.tensor([[0.3, -1.0]]), torch.tensor([[0.9, 0.2]])
    padded = torch.tensor([[0.3, -1.0, 55.0]]), torch.tensor([[0.9, 0.2, 0.7]])
    mask = torch.tensor([[True, True, False]])
    assert loss(*padded, mask).item() == pytest.approx(loss(logits, targets, FULL).item())


@pytest.mark.parametrize("loss", ALL)
def test_extreme_logits_stay_finite(loss: Loss) -> None:
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    value = loss(logits, torch.tensor([[0.0, 1.0]]), FULL)
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("loss", ALL)
def test_the_gradient_points_towards_the_target(loss: Loss) -> None:
    logits = torch.tensor([[0.0, 0.0]], requires_grad=True)
    loss(logits, torch.tensor([[0.9, 0.1]]), FULL).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]


@pytest.mark.parametrize("loss", ALL)
def test_a_batch_without_judgements_has_loss_zero(loss: Loss) -> None:
    value = loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]]), torch.zeros(1, 2, dtype=torch.bool))
    assert value.item() == 0.0


def test_a_list_without_any_gain_adds_nothing_to_the_listwise_term() -> None:
    logits = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    targets = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    mask = torch.ones(2, 2, dtype=torch.bool)
    assert list_kl(logits, targets, mask).item() == pytest.approx(list_kl(logits[1:], targets[1:], FULL).item())
