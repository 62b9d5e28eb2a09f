"""ListNet against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.objectives.losses import list_kl, softmax_kl

FULL = torch.ones(1, 2, dtype=torch.bool)


def test_it_is_the_divergence_of_two_distributions_over_the_list() -> None:
    logits, weights = torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([[1.0, 1.0]])
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert list_kl(logits, weights, FULL).value.item() == pytest.approx(expected)


def test_it_is_zero_where_student_equals_target() -> None:
    logits = torch.tensor([[1.5, -2.0]])
    assert list_kl(logits, torch.softmax(logits, 1), FULL).value.item() == pytest.approx(0.0, abs=1e-6)


def test_a_list_without_any_gain_adds_nothing() -> None:
    logits = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    targets = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    mask = torch.ones(2, 2, dtype=torch.bool)
    found = list_kl(logits, targets, mask).value.item()
    assert found == pytest.approx(list_kl(logits[1:], targets[1:], FULL).value.item())


def test_a_teachers_logits_become_weights_by_their_softmax() -> None:
    logits, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert softmax_kl(logits, teacher, FULL).value.item() == pytest.approx(expected)


def test_the_level_of_a_teachers_logits_does_not_count() -> None:
    logits = torch.tensor([[2.0, 0.5]])
    assert softmax_kl(logits, logits - 9, FULL).value.item() == pytest.approx(0.0, abs=1e-6)
