"""Binary KL against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.objectives.losses import binary_kl

FULL = torch.ones(1, 2, dtype=torch.bool)


def test_it_is_the_mean_divergence_of_two_coins() -> None:
    logits, targets = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.25]])
    second = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert binary_kl(logits, targets, FULL).value.item() == pytest.approx((math.log(2) + second) / 2)


def test_it_is_zero_where_student_equals_target() -> None:
    logits = torch.tensor([[1.5, -2.0]])
    assert binary_kl(logits, torch.sigmoid(logits), FULL).value.item() == pytest.approx(0.0, abs=1e-6)


def test_its_gradient_is_the_gap_of_the_probabilities() -> None:
    logits = torch.tensor([[0.0, 2.0]], requires_grad=True)
    binary_kl(logits, torch.tensor([[0.2, 0.5]]), FULL).value.backward()
    assert logits.grad is not None
    assert logits.grad.tolist()[0] == pytest.approx([(0.5 - 0.2) / 2, (1 / (1 + math.exp(-2)) - 0.5) / 2])
