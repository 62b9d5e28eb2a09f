"""The loss of a policy teacher: grades as cumulative logits, whether a question can be answered, and the ranking.

Pure functions of tensors. L lists, C candidates of a list (padded), Q heads, 4 steps of a grade.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from training.data.soft_labels import OUTPUTS, TOP_GRADE, SoftColumns
from training.nets.item_scorer import expected_logits
from training.objectives.losses import Mean, list_kl
from training.objectives.pairwise import ListLabels, ListLoss, Terms
from training.policy.policy import RELEVANCE


def cumulative_loss(logits_LCG: Tensor, gains_LC: Tensor, mask_LC: Tensor) -> Mean:
    """Cross-entropy of "the grade is at least 1, 2, ... G", summed over the steps, the mean over graded places.

    The cumulative (proportional odds) form of ordinal regression, with logits of their own for each step. `gains_LC`
    are grades / G; a gain between two grades asks for a part of its step, and one step is plain cross-entropy. A place
    without a grade adds nothing.
    """
    count = logits_LCG.shape[-1]
    targets_LCG = (gains_LC.unsqueeze(-1) * count - torch.arange(count, device=gains_LC.device)).clamp(0, 1)
    losses_LC = functional.binary_cross_entropy_with_logits(logits_LCG, targets_LCG, reduction="none").sum(-1)
    return Mean((losses_LC * mask_LC).sum(), mask_LC.sum())


def in_order(logits_LC: Tensor, targets_LC: Tensor, mask_LC: Tensor) -> Mean:
    """-log P(the better of two is ranked first), mean over pairs of unequal targets, weighted by their difference."""
    gap_LCC = targets_LC.unsqueeze(2) - targets_LC.unsqueeze(1)
    weight_LCC = gap_LCC.clamp_min(0) * (mask_LC.unsqueeze(2) & mask_LC.unsqueeze(1))
    surprise_LCC = functional.softplus(logits_LC.unsqueeze(1) - logits_LC.unsqueeze(2))
    return Mean((surprise_LCC * weight_LCC).sum(), weight_LCC.sum())


def ordinal_loss(
    heads: Sequence[str],
    weights: Mapping[str, float],
    answerable_weight: float,
    pairs_weight: float,
    listwise_weight: float,
) -> ListLoss:
    """The mean of `cumulative_loss` and `in_order` over heads by `weights` (default 1), plus two terms.

    One is cross-entropy of being answerable, over all heads whose lists say so. The other ranks the candidates of a
    list by relevance: listwise KL to gains of 2^grade - 1.
    """
    share = sum(weights.get(head, 1.0) for head in heads)

    def loss(outputs_LCH: Tensor, batch: ListLabels) -> Terms:
        outputs_LCQO = outputs_LCH.unflatten(-1, (len(heads), OUTPUTS))
        graded: list[tuple[float, Mean]] = []
        asked = []
        for index, head in enumerate(heads):
            steps_LC4 = outputs_LCQO[..., index, :TOP_GRADE]
            target_LC, known_LC = batch.targets[head], batch.masks[head]
            weight = weights.get(head, 1.0) / share
            ordered = in_order(expected_logits(steps_LC4), target_LC, known_LC)
            graded += [(weight, cumulative_loss(steps_LC4, target_LC, known_LC)), (weight * pairs_weight, ordered)]
            if (name := SoftColumns.of(head).answerable) in batch.targets:
                found_LC, known_LC = outputs_LCQO[..., index, TOP_GRADE], batch.masks[name]
                asked.append((found_LC[known_LC], batch.targets[name][known_LC]))
        answerable, ranking = _answerable(asked, outputs_LCH), _ranking(outputs_LCQO, batch)
        return Terms((*graded, (answerable_weight, answerable), (listwise_weight, ranking)))

    def _ranking(outputs_LCQO: Tensor, batch: ListLabels) -> Mean:
        steps_LC4 = outputs_LCQO[..., heads.index(RELEVANCE), :TOP_GRADE]
        gains_LC = 2 ** (TOP_GRADE * batch.targets[RELEVANCE]) - 1
        return list_kl(expected_logits(steps_LC4), gains_LC, batch.masks[RELEVANCE])

    return loss


def _answerable(asked: Sequence[tuple[Tensor, Tensor]], like: Tensor) -> Mean:
    found = torch.cat([like.new_zeros(0), *(logits for logits, _ in asked)])
    targets = torch.cat([like.new_zeros(0), *(targets for _, targets in asked)])
    total = functional.binary_cross_entropy_with_logits(found, targets, reduction="sum")
    return Mean(total, torch.tensor(len(found), device=like.device))
