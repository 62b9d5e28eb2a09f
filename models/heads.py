"""Heads: the outputs of a student, what they mean, and how a logit becomes a probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class Calibration(BaseModel):
    """sigmoid(slope * logit + intercept): Platt scaling."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities of the same shape; NaN stays NaN."""
        exponent = np.clip(-(self.slope * logits.astype(np.float64) + self.intercept), -700, 700)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)))


class Head(BaseModel):
    """One output: its name on the wire, what its probability means, its calibration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    meaning: str
    calibration: Calibration = Calibration()


def calibrate(heads: Sequence[Head], logits: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities of logits [..., heads], each head by its own calibration."""
    columns = [head.calibration.apply(logits[..., index]) for index, head in enumerate(heads)]
    return np.stack(columns, axis=-1).astype(np.float32)
