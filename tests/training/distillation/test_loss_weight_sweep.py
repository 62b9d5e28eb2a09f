"""The frontier moves as the share of a teacher does, and only points that keep both questions count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.data.lists import CandidateList
from training.distillation.loss_weight_sweep import Judge, Point, kept, trace
from training.metrics.bootstrap import Interval

RANDOM = np.random.default_rng(0)
LISTS = [
    CandidateList(
        f"l{i}",
        "s",
        "m",
        tuple("abcdef"),
        {"relevance": RANDOM.permutation(6) / 5, "apply": (RANDOM.permutation(6) > 2).astype(float)},
    )
    for i in range(40)
]


def student(share: float) -> Judge:
    """Knows of each question as much as its loss asked for it."""

    def judge(lists: Sequence[CandidateList]) -> np.ndarray:
        noise = np.random.default_rng(1)
        relevance = np.concatenate([each.labels["relevance"] for each in lists])
        apply = np.concatenate([each.labels["apply"] for each in lists])
        columns = [(1 - share) * relevance, share * apply]
        return np.stack([each + 0.3 * noise.normal(size=len(each)) for each in columns], axis=1)

    return judge


def test_more_engagement_buys_auc_with_relevance() -> None:
    found = trace(
        (0.1, 0.5, 0.9), student, LISTS, ("relevance", "apply"), relevance="relevance", engagement="apply", chosen=0.5
    )
    relevance = [each["relevance"]["mean"] for each in found["points"]]
    engagement = [each["engagement"]["mean"] for each in found["points"]]
    assert relevance == sorted(relevance, reverse=True)
    assert engagement == sorted(engagement)
    assert relevance[0] > relevance[2] + 0.05
    assert [each["chosen"] for each in found["points"]] == [False, True, False]


def test_a_point_must_keep_both() -> None:
    def point(weight: float, relevance: float, engagement: float) -> Point:
        return Point(weight, Interval(relevance, 0, 1), Interval(engagement, 0, 1), chosen=False)

    points = [point(0.0, 0.90, 0.70), point(0.3, 0.895, 0.79), point(0.6, 0.895, 0.70), point(0.9, 0.80, 0.80)]
    assert [each.weight for each in kept(points, teacher_engagement=0.80)] == [0.3]
