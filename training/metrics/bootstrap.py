"""Bootstrap confidence intervals of a mean over lists. Knows no metric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean over lists with its bootstrap 95 % interval. `f"{interval:+.2f}"` reads `+0.01 [-0.02, +0.03]`."""

    mean: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        mean, low, high = (format(value, spec or ".3f") for value in (self.mean, self.low, self.high))
        return f"{mean} [{low}, {high}]"


def bootstrap(values: np.ndarray, *, resamples: int = 2000, seed: int = 0) -> Interval:
    """Percentile bootstrap (Efron, 1979) of the mean of `values` f64[lists]; NaN values are left out."""
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    picks = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))
