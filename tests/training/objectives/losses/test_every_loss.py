"""Properties of every loss: padding, extreme values, direction, and batches without judgements."""

from __future__ import annotations

import pytest
import torch

from training.objectives.losses import RANKING_TERMS, Loss, binary_kl, list_kl

ALL: tuple[Loss, ...] = (binary_kl, list_kl, *RANKING_TERMS.values())
FULL = torch.ones(1, 2, dtype=torch.bool)


@pytest.mark.parametrize("loss", ALL)
def test_padded_candidates_change_nothing(loss: Loss) -> None:
    logits, targets = torch.tensor([[0.3, -1.0]]), torch.tensor([[0.9, 0.2]])
    padded = torch.tensor([[0.3, -1.0, 55.0]]), torch.tensor([[0.9, 0.2, 7.0]])
    mask = torch.tensor([[True, True, False]])
    assert loss(*padded, mask).value.item() == pytest.approx(loss(logits, targets, FULL).value.item())


@pytest.mark.parametrize("loss", ALL)
def test_extreme_logits_stay_finite(loss: Loss) -> None:
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    value = loss(logits, torch.tensor([[0.0, 1.0]]), FULL).value
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("loss", ALL)
def test_the_gradient_points_towards_the_target(loss: Loss) -> None:
    logits = torch.tensor([[0.0, 0.0]], requires_grad=True)
    loss(logits, torch.tensor([[0.9, 0.1]]), FULL).value.backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]


@pytest.mark.parametrize("loss", ALL)
def test_a_batch_without_judgements_has_loss_zero_and_moves_nothing(loss: Loss) -> None:
    logits = torch.tensor([[1.0, 2.0]], requires_grad=True)
    value = loss(logits, torch.tensor([[0.0, 0.0]]), torch.zeros(1, 2, dtype=torch.bool)).value
    value.backward()
    assert value.item() == 0.0
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0.0, 0.0]]
