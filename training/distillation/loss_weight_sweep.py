"""Shares of the teachers: a student for each share of engagement, judged on relevance and on engagement at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.data.lists import CandidateList, by_list
from training.metrics.bootstrap import Interval, bootstrap
from training.metrics.ranking import auc, evaluate_lists, ndcg_at_10

Judge = Callable[[Sequence[CandidateList]], np.ndarray]
"""Lists to a student's logits f32[pairs, H], in order."""
LEAST_RELEVANCE_KEPT = 0.99
LEAST_ENGAGEMENT_KEPT = 0.98


@dataclass(frozen=True)
class Point:
    """A student's place: the share of engagement in its loss, NDCG@10 of relevance, AUC of engagement."""

    weight: float
    relevance: Interval
    engagement: Interval
    chosen: bool


def trace(
    shares: Sequence[float],
    train: Callable[[float], Judge],
    lists: Sequence[CandidateList],
    heads: Sequence[str],
    *,
    relevance: str,
    engagement: str,
    chosen: float,
) -> dict[str, Any]:
    """Train a student for each share and judge all on the same lists; what `report.json` holds as `shares`.

    Each head ranks for its own question: a blend of them is the caller's choice at serving.
    """
    points = []
    for share in shares:
        logits = train(share)(lists)
        found = {}
        for head, metric in ((relevance, ndcg_at_10), (engagement, auc)):
            scores = by_list(logits[:, heads.index(head)], lists)
            found[head] = bootstrap(evaluate_lists(metric, scores, [each.labels[head] for each in lists]))
        points.append(Point(share, found[relevance], found[engagement], share == chosen))
    return {"relevance": relevance, "engagement": engagement, "points": [dataclasses.asdict(each) for each in points]}


def kept(points: Sequence[Point], teacher_engagement: float) -> list[Point]:
    """Those within 1 % of the student of relevance alone (share 0) and within 2 % of the engagement teacher's AUC."""
    alone = next(each.relevance.mean for each in points if each.weight == 0)
    return [
        each
        for each in points
        if each.relevance.mean >= LEAST_RELEVANCE_KEPT * alone
        and each.engagement.mean >= LEAST_ENGAGEMENT_KEPT * teacher_engagement
    ]
