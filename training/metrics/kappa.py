"""Agreement of two raters: quadratic-weighted kappa with a bootstrap interval over members. Pure numpy.

K grades | N pairs | M members | B resamples
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.metrics.bootstrap import Interval
from training.policy.policy import GRADES

K = len(GRADES)


@dataclass(frozen=True)
class Agreement:
    """Agreement of two raters on the same pairs. `kappa` is NaN if both gave the same single grade throughout."""

    pairs: int
    members: int
    exact: float
    kappa: Interval


def quadratic_kappa(counts: np.ndarray) -> np.ndarray:
    """Weighted kappa (Cohen, 1968) with squared distances, from counts f64[..., K, K]; NaN where undefined."""
    distance_KK = np.subtract.outer(np.arange(K), np.arange(K)).astype(np.float64) ** 2
    total = counts.sum(axis=(-2, -1))
    expected = counts.sum(axis=-1)[..., :, None] * counts.sum(axis=-2)[..., None, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = (distance_KK * expected).sum(axis=(-2, -1)) / total
        return np.asarray(1 - (distance_KK * counts).sum(axis=(-2, -1)) / np.where(chance > 0, chance, np.nan))


def agreement(
    first: Sequence[int], second: Sequence[int], members: Sequence[str], *, resamples: int = 2000, seed: int = 0
) -> Agreement:
    """Agreement on N pairs. The bootstrap resamples whole members, since one member's pairs are not independent."""
    first_N, second_N = np.asarray(first), np.asarray(second)
    names, member_N = np.unique(np.asarray(members), return_inverse=True)
    counts_MKK = np.zeros((len(names), K, K))
    np.add.at(counts_MKK, (member_N, first_N, second_N), 1)
    draws_BM = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
    kappas_B = quadratic_kappa((draws_BM @ counts_MKK.reshape(len(names), -1)).reshape(-1, K, K))
    defined = kappas_B[~np.isnan(kappas_B)]
    low, high = np.percentile(defined, [2.5, 97.5]) if len(defined) else (np.nan, np.nan)
    kappa = Interval(float(quadratic_kappa(counts_MKK.sum(axis=0))), float(low), float(high))
    return Agreement(len(first_N), len(names), float((first_N == second_N).mean()), kappa)
