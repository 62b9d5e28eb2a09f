"""Ranking metrics of one list, and bootstrap intervals over lists. Pure numpy; knows no model and no file.

A list without any gain above 0 has no ranking to judge: its metrics are NaN, and means leave it out.
Among equal scores the smaller gain comes first, so that a constant scorer earns nothing from the order in
which lists stand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Metric = Callable[[np.ndarray, np.ndarray], float]


def ranked_gains(scores: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Gains in the order of falling score; among equal scores the smaller gain comes first."""
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
    """Chance that a candidate with a gain stands above one without (ties count half): Mann-Whitney."""
    above, below = scores[gains > 0], scores[gains <= 0]
    if not len(above) or not len(below):
        return float("nan")
    differences = above[:, None] - below[None, :]
    return float((differences > 0).mean() + 0.5 * (differences == 0).mean())


METRICS: dict[str, Metric] = {"ndcg@10": ndcg_at_10, "mrr": reciprocal_rank, "auc": auc}


def _dcg(gains: np.ndarray) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())


@dataclass(frozen=True)
class Interval:
    """A mean over lists with its bootstrap 95 % interval."""

    mean: float
    low: float
    high: float


def bootstrap(values: np.ndarray, *, resamples: int = 2000, seed: int = 0) -> Interval:
    """Percentile bootstrap (Efron, 1979) of the mean of `values` f64[lists]; NaN lists are left out."""
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    picks = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))


def evaluate_lists(metric: Metric, scores: Sequence[np.ndarray], gains: Sequence[np.ndarray]) -> np.ndarray:
    """The metric of each list, f64[lists]; places without a judgement are left out first.

    A list that was not scored (NaN) has no value.
    """
    values = []
    for score, gain in zip(scores, gains, strict=True):
        judged = ~np.isnan(gain)
        is_scored = judged.any() and not np.isnan(score[judged]).any()
        values.append(metric(score[judged], gain[judged]) if is_scored else float("nan"))
    return np.array(values)
