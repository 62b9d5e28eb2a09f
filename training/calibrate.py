"""Calibration: a logit's slope and intercept, so that a head's output can be read as a probability.

Platt scaling (Platt, 1999) against soft gains by Newton's method; two parameters, so a few hundred lists are enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.bundle import Calibration
from training.data import CandidateList


def fit_platt(logits: np.ndarray, targets: np.ndarray, *, steps: int = 50) -> Calibration:
    """Slope and intercept with the least binary cross-entropy to `targets` f64[N] in [0, 1].

    The slope stays positive, so that calibration never changes an order; with fewer than two distinct targets
    nothing is fitted.
    """
    if np.unique(targets).size < 2:
        return Calibration(slope=1.0, intercept=0.0)
    features = np.stack([logits.astype(np.float64), np.ones(len(logits))], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(steps):
        probabilities = 1 / (1 + np.exp(-np.clip(features @ weights, -50, 50)))
        gradient = features.T @ (probabilities - targets)
        curvature = (features * (probabilities * (1 - probabilities))[:, None]).T @ features + 1e-6 * np.eye(2)
        weights = weights - np.clip(np.linalg.solve(curvature, gradient), -2, 2)
    return Calibration(slope=float(max(weights[0], 1e-3)), intercept=float(weights[1]))


def fit_calibrations(
    heads: Sequence[str], logits: np.ndarray, lists: Sequence[CandidateList]
) -> dict[str, Calibration]:
    """One calibration for each head from `logits` f32[pairs, H]; pairs without a judgement for a head are left out."""
    fitted = {}
    for index, head in enumerate(heads):
        labels = np.concatenate([each.labels[head] for each in lists])
        judged = ~np.isnan(labels)
        fitted[head] = fit_platt(logits[judged, index], labels[judged])
    return fitted


def expected_calibration_error(probabilities: np.ndarray, targets: np.ndarray, *, bins: int = 10) -> float:
    """Mean gap of stated and observed gain over equal-width bins, weighted by their counts (Naeini et al., 2015)."""
    index = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = [
        abs(probabilities[index == b].mean() - targets[index == b].mean()) * (index == b).mean() for b in set(index)
    ]
    return float(sum(gaps))
