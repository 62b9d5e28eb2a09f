"""RankNet against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.objectives.losses import ranknet

FULL = torch.ones(1, 2, dtype=torch.bool)


def test_it_is_the_divergence_of_the_chances_that_one_ranks_above_the_other() -> None:
    logits, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert ranknet(logits, teacher, FULL).value.item() == pytest.approx(expected)


def test_three_candidates_make_three_pairs() -> None:
    logits, teacher = torch.zeros(1, 3), torch.tensor([[math.log(3.0), 0.0, 0.0]])
    one_pair = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    # the first against both others; those two are even, for the student as well
    assert ranknet(logits, teacher, torch.ones(1, 3, dtype=torch.bool)).value.item() == pytest.approx(2 * one_pair / 3)


def test_the_level_does_not_count() -> None:
    logits = torch.tensor([[2.0, 0.5]])
    assert ranknet(logits, logits - 3, FULL).value.item() == pytest.approx(0.0, abs=1e-6)


def test_a_list_of_one_has_no_pair() -> None:
    mask = torch.tensor([[True, False]])
    assert ranknet(torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0, 4.0]]), mask).value.item() == 0.0
