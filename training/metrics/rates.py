"""Figures of rates: candidates that were shown many times each, with the share of times that led to an action.

Pure numpy. Two candidates of a list differ for certain where a two-sided z test of two proportions says so at 1 %. C
candidates of a list, N of all lists.
"""

from __future__ import annotations

import numpy as np

from training.metrics.calibration import Bin
from training.metrics.measures import order_sums

CERTAIN = 2.576
ORDERS = {"pairs in order": 0.0, "significant pairs in order": CERTAIN}
"""How far apart, in standard errors, two rates must be to count."""


def pair_order_sums(scores: np.ndarray, shares: np.ndarray, shown: np.ndarray, least: float) -> np.ndarray:
    """Pairs in order, and all pairs of one list whose shares differ by more than `least` standard errors."""
    actions = shares * shown
    pooled_CC = (actions[:, None] + actions[None, :]) / (shown[:, None] + shown[None, :])
    error_CC = np.sqrt(pooled_CC * (1 - pooled_CC) * (1 / shown[:, None] + 1 / shown[None, :]))
    return order_sums(scores, shares[:, None] - shares[None, :] > least * error_CC)


def rate_reliability(stated: np.ndarray, shares: np.ndarray, shown: np.ndarray, *, bins: int = 10) -> list[Bin]:
    """Stated against observed in bins of equal numbers of times shown, from f64[N] each: rates crowd near 0."""
    order = np.argsort(stated, kind="stable")
    place = np.minimum((np.cumsum(shown[order]) - shown[order]) * bins // shown.sum(), bins - 1).astype(int)
    found = []
    for each in np.unique(place):
        own = order[place == each]
        times = shown[own]
        observed = float((shares[own] * times).sum() / times.sum())
        mean = float((stated[own] * times).sum() / times.sum())
        found.append(Bin(float(stated[own].min()), float(stated[own].max()), int(times.sum()), mean, observed))
    return found


def rate_calibration_error(reliability: list[Bin]) -> float:
    """Mean gap of stated and observed rate over the bins, by times shown."""
    total = sum(each.count for each in reliability)
    return sum(abs(each.stated - each.observed) * each.count for each in reliability) / max(total, 1)


def rate_skill(stated: np.ndarray, shares: np.ndarray, shown: np.ndarray) -> float:
    """Brier skill over rates, by times shown: 0 is the base rate; chance in the counts keeps the best model under 1."""
    base = (shares * shown).sum() / shown.sum()
    spread = (shown * (shares - base) ** 2).sum()
    return float(1 - (shown * (stated - shares) ** 2).sum() / spread) if spread > 0 else float("nan")
