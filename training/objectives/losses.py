"""Losses as pure functions of tensors. They know no models, texts or files.

Shapes: L lists, C candidates of a list (padded), H heads. A padded or unjudged place has `mask_LC` False; it
adds nothing, and a batch without any judged place has loss 0. All losses are means over judged places
(pointwise), over pairs of places (pairwise) or over lists (listwise). Each is given as a sum and a count, since a
batch may be a part of a step: the step's mean is the sum of the sums by the sum of the counts. In pointwise losses
`mask_LC` may be f32 instead: how often each place counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

_MASKED = -1e9


@dataclass(frozen=True)
class Mean:
    """A mean over places, pairs or lists: their sum, and their number or weight."""

    total: Tensor
    count: Tensor

    @property
    def value(self) -> Tensor:
        """The mean over these lists alone; 0 where there is nothing."""
        return self.over(self.count)

    def over(self, count: Tensor) -> Tensor:
        """What this part adds to the mean over `count` in all parts."""
        return self.total / torch.where(count > 0, count, torch.ones_like(count))


def binary_kl(logits_LC: Tensor, targets_LC: Tensor, mask_LC: Tensor) -> Mean:
    """KL(target || student) between Bernoulli distributions; `targets_LC` are probabilities in [0, 1].

    Soft binary labels, as in "Semantic Search At LinkedIn" (arXiv 2602.07309). Equals binary cross-entropy less the
    targets' own entropy, so it is 0 where student and target agree.
    """
    targets_LC = torch.where(mask_LC > 0, targets_LC, torch.full_like(targets_LC, 0.5))
    cross_entropy_LC = functional.binary_cross_entropy_with_logits(logits_LC, targets_LC, reduction="none")
    entropy_LC = -(torch.xlogy(targets_LC, targets_LC) + torch.xlogy(1 - targets_LC, 1 - targets_LC))
    return _mean(cross_entropy_LC - entropy_LC, mask_LC)


def list_kl(logits_LC: Tensor, targets_LC: Tensor, mask_LC: Tensor) -> Mean:
    """KL(target || softmax(logits)) over each list; `targets_LC` are weights >= 0, normalised here to sum to 1.

    ListNet's top-one form (Cao et al., ICML 2007) with soft targets. A list whose weights are all 0 adds nothing.
    """
    weights_LC = torch.where(mask_LC, targets_LC, torch.zeros_like(targets_LC))
    total_L = weights_LC.sum(1)
    target_LC = weights_LC / total_L.clamp_min(1e-12).unsqueeze(1)
    log_student_LC = torch.log_softmax(logits_LC.masked_fill(~mask_LC, _MASKED), dim=1)
    divergence_L = (torch.xlogy(target_LC, target_LC) - target_LC * log_student_LC).sum(1)
    return _mean(divergence_L, total_L > 0)


def margin_mse(logits_LC: Tensor, targets_LC: Tensor, mask_LC: Tensor) -> Mean:
    """Squared error of every difference between two candidates of a list; `targets_LC` are the teacher's logits.

    Margin-MSE (Hofstaetter et al., arXiv 2010.02666), over all pairs of a list: the student's level is
    free.
    """
    errors_LC = torch.where(mask_LC, logits_LC - targets_LC, torch.zeros_like(logits_LC))
    differences_LCC = errors_LC.unsqueeze(2) - errors_LC.unsqueeze(1)
    return _mean(differences_LCC.square(), mask_LC.unsqueeze(2) & mask_LC.unsqueeze(1))


def examined_nll(logits_LC: Tensor, examination_LC: Tensor, actions_LC: Tensor, mask_LC: Tensor) -> Mean:
    """-log likelihood of actions f32[L, C] (0, 1 or a share) with p = sigmoid(examination) * sigmoid(logit).

    The position-based model (Craswell et al., WSDM 2008), with both factors learnt together as in PAL (Guo et al.,
    RecSys 2019): the logit need not explain what the position explains.
    """
    log_examined_LC = functional.logsigmoid(examination_LC)
    acted_LC = log_examined_LC + functional.logsigmoid(logits_LC)
    # 1 - p as the sum of two ways not to act, so that rounding loses neither where p is near 1
    ignored_LC = torch.logaddexp(
        functional.logsigmoid(-examination_LC), log_examined_LC + functional.logsigmoid(-logits_LC)
    )
    return _mean(-(actions_LC * acted_LC + (1 - actions_LC) * ignored_LC), mask_LC)


def rare_mask(actions_LC: Tensor, mask_LC: Tensor) -> Tensor:
    """The places of `mask_LC` in lists where at least one candidate got the action.

    For rare actions a negative counts only if a sibling in the list got the action ("Semantic Search At LinkedIn",
    arXiv 2602.07309): nearly all lists have no such action, and show only that it is rare, not which candidate fits.
    """
    return mask_LC * ((actions_LC > 0) & (mask_LC > 0)).any(1, keepdim=True)


def ranknet(logits_LC: Tensor, targets_LC: Tensor, mask_LC: Tensor) -> Mean:
    """KL of the chance that one candidate ranks above another, over all pairs of a list; `targets_LC` are logits.

    RankNet (Burges et al., ICML 2005) with the teacher's own chance, sigmoid of its difference, in place of a hard
    preference: where the teacher has a tie, the target is a tie.
    """
    is_pair_LCC = torch.triu(mask_LC.unsqueeze(2) & mask_LC.unsqueeze(1), diagonal=1)
    student_LCC = logits_LC.unsqueeze(2) - logits_LC.unsqueeze(1)
    teacher_LCC = targets_LC.unsqueeze(2) - targets_LC.unsqueeze(1)
    return binary_kl(student_LCC, torch.sigmoid(teacher_LCC), is_pair_LCC)


def info_nce(logits_LC: Tensor, targets_LC: Tensor, mask_LC: Tensor) -> Mean:
    """-log softmax of a list's best candidate among itself and all worse ones; targets may have any scale.

    InfoNCE (van den Oord et al., arXiv 1807.03748). Each of several equally best candidates competes with the worse
    ones only. A list whose targets are all equal has no best candidate and adds nothing.
    """
    best_L = targets_LC.masked_fill(~mask_LC, -torch.inf).amax(1, keepdim=True)
    is_best_LC = mask_LC & (targets_LC == best_L)
    is_worse_LC = mask_LC & ~is_best_LC
    worse_L1 = torch.logsumexp(logits_LC.masked_fill(~is_worse_LC, _MASKED), dim=1, keepdim=True)
    surprise_LC = functional.softplus(worse_L1 - logits_LC)
    surprise_L = (surprise_LC * is_best_LC).sum(1) / is_best_LC.sum(1).clamp_min(1)
    return _mean(surprise_L, is_worse_LC.any(1))


def softmax_kl(logits_LC: Tensor, targets_LC: Tensor, mask_LC: Tensor) -> Mean:
    """`list_kl` to the softmax of the teacher's logits `targets_LC`."""
    return list_kl(logits_LC, torch.softmax(targets_LC.masked_fill(~mask_LC, _MASKED), dim=1), mask_LC)


Loss = Callable[[Tensor, Tensor, Tensor], Mean]
"""Student's logits, targets and mask, each [L, C], to a mean."""
RankingTerm = Literal["softmax_kl", "margin_mse", "ranknet", "info_nce"]
RANKING_TERMS: dict[RankingTerm, Loss] = {
    "softmax_kl": softmax_kl,
    "margin_mse": margin_mse,
    "ranknet": ranknet,
    "info_nce": info_nce,
}
"""Terms that make a student rank as its teacher; targets are the teacher's logits. A recipe names one."""


def _mean(values: Tensor, mask: Tensor) -> Mean:
    kept = torch.where(mask > 0, values * mask, torch.zeros_like(values))
    return Mean(kept.sum(), mask.sum())
