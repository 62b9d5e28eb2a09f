"""Sweep of the loss weights: a student for each share of engagement, measured on relevance and on engagement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from training.data.lists import CandidateList, by_list
from training.evaluation.report import LossWeightPoint, LossWeightSweep
from training.metrics.bootstrap import Interval, bootstrap
from training.metrics.ranking import Metric, auc, evaluate_lists, ndcg_at_10

Predict = Callable[[Sequence[CandidateList]], np.ndarray]
"""Lists to a student's logits f32[pairs, H], in order."""


def sweep_loss_weights(
    shares: Sequence[float],
    train: Callable[[float], Predict],
    lists: Sequence[CandidateList],
    heads: Sequence[str],
    *,
    relevance: str,
    engagement: str,
    chosen: float,
) -> LossWeightSweep:
    """Train a student for each share and measure all on the same lists.

    Each head ranks for its own question: a blend of them is the caller's choice at serving.
    """

    def measured(head: str, metric: Metric, logits: np.ndarray) -> Interval:
        scores = by_list(logits[:, heads.index(head)], lists)
        return bootstrap(evaluate_lists(metric, scores, [each.labels[head] for each in lists]))

    points = []
    for share in shares:
        logits = train(share)(lists)
        ndcg, area = measured(relevance, ndcg_at_10, logits), measured(engagement, auc, logits)
        points.append(LossWeightPoint(share, ndcg, area, share == chosen))
    return LossWeightSweep(relevance, engagement, points)
