"""Calibration: slope and intercept that turn a head's logit into a probability. Pure numpy.

Platt scaling (Platt, 1999) to soft gains by Newton's method. It has two parameters, so a few hundred lists are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.heads import Calibration
from training.data.lists import CandidateList

TINY = 1e-12
STEPS = 50


def fit_platt(
    logits: np.ndarray, targets: np.ndarray, *, examined: np.ndarray | None = None, times: np.ndarray | None = None
) -> Calibration:
    """Slope and intercept with the least binary cross-entropy to `targets` f64[N] in [0, 1].

    With `examined` f64[N], the probability that a position was examined, the model of the target is
    examined * sigmoid(slope * logit + intercept): the calibrated head is then P(action | examined). The slope stays
    positive, so calibration never changes an order. A target counts `times` f64[N] (None: once). With fewer than two
    distinct targets nothing is fitted.
    """
    if np.unique(targets).size < 2:
        return Calibration(slope=1.0, intercept=0.0)
    features = np.stack([logits.astype(np.float64), np.ones(len(logits))], axis=1)
    seen = np.ones(len(logits)) if examined is None else examined
    counts = np.ones(len(logits)) if times is None else times
    weights = np.array([1.0, 0.0])
    loss = _cross_entropy(features @ weights, seen, targets, counts)
    for _ in range(STEPS):
        acted = _sigmoid(features @ weights)
        # Fisher scoring, which is Newton's method where everything was examined
        missed = np.maximum(1 - seen * acted, TINY)
        gradient = features.T @ (counts * (seen * acted - targets) * (1 - acted) / missed)
        information = counts * seen * acted * (1 - acted) ** 2 / missed
        curvature = (features * information[:, None]).T @ features + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        # A whole step can overshoot and oscillate without end, so it is halved until the loss falls.
        found = _cross_entropy(features @ (weights - step), seen, targets, counts)
        while found > loss and np.abs(step).max() > TINY:
            step = step / 2
            found = _cross_entropy(features @ (weights - step), seen, targets, counts)
        weights, loss = weights - step, min(found, loss)
    return Calibration(slope=float(max(weights[0], 1e-3)), intercept=float(weights[1]))


def _cross_entropy(exponents: np.ndarray, seen: np.ndarray, targets: np.ndarray, counts: np.ndarray) -> float:
    """Cross-entropy of the targets and seen * sigmoid(exponents), by counts."""
    stated = np.clip(seen * _sigmoid(exponents), TINY, 1 - TINY)
    return float(-(counts * (targets * np.log(stated) + (1 - targets) * np.log(1 - stated))).sum())


def _sigmoid(exponents: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(exponents, -30, 30))))


def fit_calibrations(
    heads: Sequence[str],
    logits: np.ndarray,
    lists: Sequence[CandidateList],
    *,
    examined: np.ndarray | None = None,
    times: np.ndarray | None = None,
) -> dict[str, Calibration]:
    """One calibration per head from `logits` f32[pairs, H], by `examined` and `times` f64[pairs] as in `fit_platt`.

    Pairs without a judgement for a head are left out, and those where `examined` is NaN.
    """
    seen = np.ones(len(logits)) if examined is None else examined
    counts = np.ones(len(logits)) if times is None else times
    fitted = {}
    for index, head in enumerate(heads):
        labels = np.concatenate([each.labels[head] for each in lists])
        known = ~np.isnan(labels) & ~np.isnan(seen)
        fitted[head] = fit_platt(logits[known, index], labels[known], examined=seen[known], times=counts[known])
    return fitted


@dataclass(frozen=True)
class Bin:
    """Pairs with a stated probability between `low` and `high`: their count, mean stated and mean observed."""

    low: float
    high: float
    count: int
    stated: float
    observed: float


def reliability(probabilities: np.ndarray, targets: np.ndarray, *, bins: int = 10) -> list[Bin]:
    """Stated against observed in equal-width bins; empty bins are left out."""
    index = np.minimum((probabilities * bins).astype(int), bins - 1)
    found = [(each, index == each) for each in range(bins) if (index == each).any()]
    return [
        Bin(
            each / bins, (each + 1) / bins, int(own.sum()), float(probabilities[own].mean()), float(targets[own].mean())
        )
        for each, own in found
    ]


def expected_calibration_error(probabilities: np.ndarray, targets: np.ndarray, *, bins: int = 10) -> float:
    """Mean gap of stated and observed gain over equal-width bins, weighted by count (Naeini et al., 2015)."""
    found = reliability(probabilities, targets, bins=bins)
    return sum(abs(each.stated - each.observed) * each.count for each in found) / max(len(probabilities), 1)
