"""Intervals of figures that are functions of sums over lists, by a bootstrap over clusters and seeds. Pure numpy.

Lists of one member, occupation or query are not independent, so clusters are drawn and not lists (Cameron, Gelbach and
Miller, 2008). Where a system has several seeds, each draw takes as many of them, with replacement. Systems of one
comparison share the draws of clusters, which makes the comparison paired.

S seeds | L lists | C clusters | K sums | B resamples + 1; the first row of B is the estimate itself
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from training.metrics.bootstrap import Interval

RESAMPLES = 2000
Statistic = Callable[..., np.ndarray]
"""Totals f64[B, K] of each system -> the figure f64[B]; NaN where it is undefined."""


def clustered_interval(
    sums: Sequence[np.ndarray], clusters: Sequence[str], statistic: Statistic, *, seed: int = 0
) -> Interval:
    """The figure with its 95 % interval, from the sums f64[S, L, K] of each system over the same lists."""
    names, cluster_L = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    if not len(names):
        return Interval(float("nan"), float("nan"), float("nan"))
    random = np.random.default_rng(seed)
    drawn_BC = _with_estimate(random.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES))
    totals = []
    for sums_SLK in sums:
        by_cluster_SCK = np.zeros((len(sums_SLK), len(names), sums_SLK.shape[-1]))
        for index, sums_LK in enumerate(sums_SLK):
            np.add.at(by_cluster_SCK[index], cluster_L, sums_LK)
        seeds = len(sums_SLK)
        drawn_BS = _with_estimate(random.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES)) / seeds
        totals.append(sum(drawn_BS[:, [s]] * (drawn_BC @ by_cluster_SCK[s]) for s in range(seeds)))
    with np.errstate(invalid="ignore", divide="ignore"):
        found_B = statistic(*totals)
    defined = found_B[1:][~np.isnan(found_B[1:])]
    low, high = np.percentile(defined, [2.5, 97.5]) if len(defined) else (np.nan, np.nan)
    return Interval(float(found_B[0]), float(low), float(high))


def _with_estimate(draws: np.ndarray) -> np.ndarray:
    """A first row in which each unit counts once."""
    return np.concatenate([np.ones((1, draws.shape[1])), draws]).astype(np.float64)
