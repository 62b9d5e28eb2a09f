"""CrossScorer: one graph that reads each pair whole. The ceiling of quality, and any exported cross-encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.heads import Head, calibrate
from models.runtime.session import Runner
from models.text import Pair, TextEncoder


class CrossEncoderScorer:
    """Collate, run, calibrate."""

    def __init__(self, session: Runner, encoder: TextEncoder, heads: tuple[Head, ...]) -> None:
        self._session = session
        self._encoder = encoder
        self._heads = heads

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple(head.name for head in self._heads)

    def warm_up(self) -> None:
        """Run what can be run before the first batch; call it on the thread that will score."""
        self._session.warm_up()

    def pair_logits(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Raw outputs f32[pairs, heads]; without pairs the graph is not run."""
        if not pairs:
            return np.zeros((0, len(self._heads)), dtype=np.float32)
        return self._session.run(self._encoder.collate(pairs))

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Calibrated probabilities f32[pairs, heads]."""
        return calibrate(self._heads, self.pair_logits(pairs))
