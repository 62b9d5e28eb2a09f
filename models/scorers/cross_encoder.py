"""A cross-encoder: one graph that reads member and candidate together."""

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
        self.encoder = encoder
        self._heads = heads
        self.heads = tuple(head.name for head in heads)

    def warm_up(self) -> None:
        """Prepare the first batch. Call it on the thread that will score."""
        self._session.warm_up()

    def pair_logits(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Raw outputs f32[pairs, heads]; without pairs the graph is not run."""
        if not pairs:
            return np.zeros((0, len(self._heads)), dtype=np.float32)
        return self._session.run(self.encoder.collate(pairs))

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Calibrated probabilities f32[pairs, heads]."""
        return calibrate(self._heads, self.pair_logits(pairs))
