"""InfoNCE against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.objectives.losses import info_nce


def test_it_is_the_negative_log_probability_of_the_best_candidate() -> None:
    logits = torch.tensor([[math.log(6.0), math.log(3.0), 0.0]])
    found = info_nce(logits, torch.tensor([[0.9, 0.1, -4.0]]), torch.ones(1, 3, dtype=torch.bool)).value
    assert found.item() == pytest.approx(-math.log(6 / 10))


def test_two_equally_best_candidates_do_not_compete() -> None:
    logits = torch.tensor([[math.log(6.0), math.log(3.0), 0.0]])
    found = info_nce(logits, torch.tensor([[1.0, 1.0, 0.0]]), torch.ones(1, 3, dtype=torch.bool)).value
    assert found.item() == pytest.approx(-(math.log(6 / 7) + math.log(3 / 4)) / 2)


def test_a_list_of_equals_adds_nothing() -> None:
    logits, targets = torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    full = torch.ones(2, 2, dtype=torch.bool)
    assert info_nce(logits, targets, full).value.item() == pytest.approx(math.log1p(math.exp(-3.0)))
