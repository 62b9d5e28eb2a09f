"""Losses as pure functions of tensors. They know nothing of models, texts or files.

Shapes: L lists, C candidates of a list (padded), H heads. A padded or unjudged place has `mask_LC` False; it
adds nothing, and a batch without any judged place has loss 0. All losses are means over judged places
(pointwise) or over lists (listwise).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_MASKED = -1e9


def binary_kl(logits_LC: Tensor, targets_LC: Tensor, mask_LC: Tensor) -> Tensor:
    """KL(target || student) between Bernoulli distributions; `targets_LC` are probabilities in [0, 1].

    Soft binary labels, as in "Semantic Search At LinkedIn" (arXiv 2602.07309). Equals binary cross-entropy less the
    targets' own entropy, so that it is 0 where student and target agree.
    """
    targets_LC = torch.where(mask_LC, targets_LC, torch.full_like(targets_LC, 0.5))
    cross_entropy_LC = functional.binary_cross_entropy_with_logits(logits_LC, targets_LC, reduction="none")
    entropy_LC = -(torch.xlogy(targets_LC, targets_LC) + torch.xlogy(1 - targets_LC, 1 - targets_LC))
    return _mean(cross_entropy_LC - entropy_LC, mask_LC)


def list_kl(logits_LC: Tensor, targets_LC: Tensor, mask_LC: Tensor) -> Tensor:
    """KL(target || softmax(logits)) over each list; `targets_LC` are weights >= 0, normalised here to sum to 1.

    ListNet's top-one form (Cao et al., ICML 2007) with soft targets. A list whose weights are all 0 adds nothing.
    """
    weights_LC = torch.where(mask_LC, targets_LC, torch.zeros_like(targets_LC))
    total_L = weights_LC.sum(1)
    target_LC = weights_LC / total_L.clamp_min(1e-12).unsqueeze(1)
    log_student_LC = torch.log_softmax(logits_LC.masked_fill(~mask_LC, _MASKED), dim=1)
    divergence_L = (torch.xlogy(target_LC, target_LC) - target_LC * log_student_LC).sum(1)
    return _mean(divergence_L, total_L > 0)


def margin_mse(logits_LC: Tensor, targets_LC: Tensor, mask_LC: Tensor) -> Tensor:
    """Squared error of every difference between two candidates of a list; `targets_LC` are the teacher's logits.

    Margin-MSE (Hofstaetter et al., arXiv 2010.02666), over all pairs of a list: the student is free to choose
    its own level.
    """
    errors_LC = torch.where(mask_LC, logits_LC - targets_LC, torch.zeros_like(logits_LC))
    differences_LCC = errors_LC.unsqueeze(2) - errors_LC.unsqueeze(1)
    return _mean(differences_LCC.square(), mask_LC.unsqueeze(2) & mask_LC.unsqueeze(1))


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    kept = torch.where(mask, values, torch.zeros_like(values))
    return kept.sum() / mask.sum().clamp_min(1)
