"""Margin-MSE against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from training.objectives.losses import margin_mse

FULL = torch.ones(1, 2, dtype=torch.bool)


def test_it_is_the_mean_squared_error_of_all_margins() -> None:
    logits, teacher = torch.tensor([[2.0, 0.0]]), torch.tensor([[5.0, 4.0]])
    # margins 2 and 1 in both directions: (1 + 1) / 4 places, the two zero differences of a candidate with
    # itself included
    assert margin_mse(logits, teacher, FULL).value.item() == pytest.approx(0.5)


def test_the_level_does_not_count() -> None:
    logits = torch.tensor([[2.0, 0.5]])
    assert margin_mse(logits, logits + 7, FULL).value.item() == pytest.approx(0.0, abs=1e-9)
