"""Heads: the outputs of a model, what they mean, and how a logit becomes a probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

# A manifest, which names heads, is read without numpy.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Calibration(BaseModel):
    """sigmoid(slope * logit + intercept): Platt scaling."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities of the same shape; NaN stays NaN."""
        import numpy as np

        exponent = np.clip(-(self.slope * logits.astype(np.float64) + self.intercept), -700, 700)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)))


class Head(BaseModel):
    """One output: its name on the wire, what its probability means, and its calibration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    meaning: str
    calibration: Calibration = Calibration()


def calibrate(heads: Sequence[Head], logits: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities of logits [..., heads], each head by its own calibration."""
    import numpy as np

    columns = [head.calibration.apply(logits[..., index]) for index, head in enumerate(heads)]
    return np.stack(columns, axis=-1).astype(np.float32)
