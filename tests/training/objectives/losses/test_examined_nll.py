"""The position-based likelihood and the mask of rare actions, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.objectives.losses import binary_kl, examined_nll, rare_mask

FULL = torch.ones(1, 2, dtype=torch.bool)


def test_an_action_needs_examination_and_attractiveness() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]])  # attractiveness 1/2 and 3/4
    looked = torch.tensor([[0.0, math.log(0.25)]])  # examination 1/2 and 1/5
    found = examined_nll(logits, looked, torch.tensor([[1.0, 0.0]]), FULL).value
    assert found.item() == pytest.approx(-(math.log(1 / 4) + math.log(1 - 3 / 20)) / 2)


def test_with_every_position_examined_it_is_the_cross_entropy() -> None:
    logits, done = torch.tensor([[0.7, -1.2]]), torch.tensor([[1.0, 0.0]])
    always = torch.full((1, 2), 30.0)
    assert examined_nll(logits, always, done, FULL).value.item() == pytest.approx(
        binary_kl(logits, done, FULL).value.item()
    )


@pytest.mark.parametrize(("size", "gradient"), [(20.0, [0.5, -0.5]), (1e3, [0.0, -0.5])])
def test_extreme_logits_stay_finite(size: float, gradient: list[float]) -> None:
    logits = torch.tensor([[size, -size]], requires_grad=True)
    value = examined_nll(logits, torch.tensor([[30.0, 30.0]]), torch.tensor([[0.0, 1.0]]), FULL).value
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad is not None
    # beyond the first place's own certainty of 30, an ignored candidate was rather not looked at than not liked
    assert logits.grad.tolist()[0] == pytest.approx(gradient, abs=1e-3)


def test_no_action_at_a_low_position_is_weak_evidence_against_a_candidate() -> None:
    logits = torch.zeros(1, 2, requires_grad=True)
    examined_nll(logits, torch.tensor([[30.0, -3.0]]), torch.zeros(1, 2), FULL).value.backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] > 20 * logits.grad[0, 1] > 0


def test_padded_places_change_nothing() -> None:
    mask = torch.tensor([[True, False]])
    found = examined_nll(
        torch.tensor([[0.0, 9.0]]), torch.tensor([[30.0, 1.0]]), torch.tensor([[1.0, 1.0]]), mask
    ).value
    assert found.item() == pytest.approx(math.log(2))


def test_a_negative_of_a_rare_action_counts_only_beside_a_sibling_that_got_it() -> None:
    actions = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    mask = torch.tensor([[True, True, True], [True, True, True], [True, True, False]])
    assert rare_mask(actions, mask).tolist() == [[True] * 3, [False] * 3, [False] * 3]


def test_a_place_that_counts_three_times_is_three_places() -> None:
    logits, looked = torch.tensor([[0.4, -1.0]]), torch.tensor([[1.0, 0.0]])
    share, times = torch.tensor([[2 / 3, 0.0]]), torch.tensor([[3.0, 1.0]])
    each = torch.tensor([[0.4, 0.4, 0.4, -1.0]]), torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    done, every = torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.ones(1, 4, dtype=torch.bool)
    found, wanted = examined_nll(logits, looked, share, times), examined_nll(*each, done, every)
    assert found.value.item() == pytest.approx(wanted.value.item())
    assert found.count.item() == wanted.count.item() == 4


def test_a_count_weighs_a_place_that_is_otherwise_equal() -> None:
    logits = torch.zeros(1, 2, requires_grad=True)
    binary_kl(logits, torch.tensor([[0.1, 0.9]]), torch.tensor([[9.0, 1.0]])).value.backward()
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx([0.9 * 0.4, -0.1 * 0.4])
