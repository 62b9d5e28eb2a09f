"""What every scorer can do: the seam between the service and the kinds of model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.text import Pair


class Scorer(Protocol):
    """Scores pairs. A scorer may compute a member once for all pairs that share the array `pair.member`."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        ...

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Calibrated probabilities f32[pairs, heads], in order. A row depends on its pair alone."""
        ...
