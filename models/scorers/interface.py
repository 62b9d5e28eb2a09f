"""What every scorer can do. The seam between the service and the kinds of model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.text import Pair


class Scorer(Protocol):
    """Scores pairs. A scorer that can compute a member once finds equal members by the identity of `pair.member`."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        ...

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Calibrated probabilities f32[pairs, heads], in the order given. A pair's row depends on that pair alone."""
        ...
