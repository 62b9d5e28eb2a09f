"""Ranking metrics of one list. Pure numpy; knows no model and no file.

A list without any gain above 0 has no ranking to judge: its metrics are NaN, and means leave it out.
Among equal scores the smaller gain comes first, so that a constant scorer earns nothing from the order of
the candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Metric = Callable[[np.ndarray, np.ndarray], float]


def ranked_gains(scores: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Gains by falling score; among equal scores the smaller gain comes first."""
    return gains[np.lexsort((gains, -scores))]


def ndcg_at_10(scores: np.ndarray, gains: np.ndarray) -> float:
    """Normalised discounted cumulative gain with linear gains (Jarvelin and Kekalainen, 2002)."""
    ideal = np.sort(gains)[::-1]
    best = _dcg(ideal[:10])
    return float(_dcg(ranked_gains(scores, gains)[:10]) / best) if best > 0 else float("nan")


def reciprocal_rank(scores: np.ndarray, gains: np.ndarray) -> float:
    """1 / rank of the first candidate that has the highest gain of its list."""
    best = gains.max()
    if best <= 0:
        return float("nan")
    return float(1 / (1 + np.flatnonzero(ranked_gains(scores, gains) == best)[0]))


def auc(scores: np.ndarray, gains: np.ndarray) -> float:
    """Chance that a candidate with a gain ranks above one without (ties count half): Mann-Whitney."""
    above, below = scores[gains > 0], scores[gains <= 0]
    if not len(above) or not len(below):
        return float("nan")
    differences = above[:, None] - below[None, :]
    return float((differences > 0).mean() + 0.5 * (differences == 0).mean())


METRICS: dict[str, Metric] = {"ndcg@10": ndcg_at_10, "mrr": reciprocal_rank, "auc": auc}


def _dcg(gains: np.ndarray) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())


def evaluate_lists(metric: Metric, scores: Sequence[np.ndarray], gains: Sequence[np.ndarray]) -> np.ndarray:
    """The metric of each list, f64[lists]. Unjudged candidates are left out; a list without scores (NaN) is NaN."""
    values = []
    for score, gain in zip(scores, gains, strict=True):
        judged = ~np.isnan(gain)
        is_scored = judged.any() and not np.isnan(score[judged]).any()
        values.append(metric(score[judged], gain[judged]) if is_scored else float("nan"))
    return np.array(values)
