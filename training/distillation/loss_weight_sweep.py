"""Sweep of the loss weights: a student for each share of engagement, measured on relevance and on engagement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from training.data.lists import CandidateList
from training.evaluation.figures import metric_by_list
from training.evaluation.report import LossWeightPoint, LossWeightSweep
from training.metrics.bootstrap import bootstrap
from training.metrics.ranking import auc, ndcg_at_10
from training.recipe import ActionHeadsPlan, HeadNames

Predict = Callable[[Sequence[CandidateList]], np.ndarray]
"""Lists to a student's logits f32[pairs, H], in order."""


def sweep_loss_weights(
    plan: ActionHeadsPlan, heads: HeadNames, lists: Sequence[CandidateList], train: Callable[[float], Predict]
) -> LossWeightSweep:
    """Train a student for each share of the plan, and measure the first head of each teacher on the same lists.

    Each head ranks for its own question: a blend of them is the caller's choice at serving.
    """
    relevance, engagement = heads.graded[0], heads.actions[0]
    points = []
    for share in sorted({*plan.shares, plan.share}):
        logits = train(share)(lists)
        ndcg = metric_by_list(ndcg_at_10, relevance, logits[:, 0], lists)
        area = metric_by_list(auc, engagement, logits[:, len(heads.graded)], lists)
        points.append(LossWeightPoint(share, bootstrap(ndcg), bootstrap(area), share == plan.share))
    return LossWeightSweep(relevance, engagement, points)
