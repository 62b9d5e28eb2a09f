"""Runs one batch on its lane and isolates what fails, so that a bad pair costs only itself.

Knows nothing about queues, threads or deadlines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from models.scorer import Scorer
from models.text import Pair
from service.work import Batch, PairOutcome, PairStatus, PairWork

Failure = Literal["error", "shape", "not_finite", "hung", "died"]

_FAILED = PairOutcome(PairStatus.failed)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What came of one run: probabilities [pairs, heads], or None; `failure` says what was wrong."""

    pairs: Sequence[PairWork]
    rows: NDArray[np.float32] | None
    failure: Failure | None

    def settle(self) -> None:
        """Note the outcome of every pair in its request; a row that is not finite fails its own pair only."""
        if self.rows is None:
            for pair in self.pairs:
                pair.request.settle(pair.position, _FAILED)
            return
        usable = [bool(np.isfinite(row).all()) for row in self.rows]
        for pair, row, ok in zip(self.pairs, self.rows.tolist(), usable, strict=True):
            pair.request.settle(pair.position, PairOutcome(PairStatus.scored, tuple(row)) if ok else _FAILED)


def run_batch(batch: Batch, before_run: Callable[[], None]) -> list[Part]:
    """Score a batch; where a run raises, score its halves, down to the pair that fails alone.

    `before_run` is called before each run: a long series of short runs is not one that hangs.
    """
    parts: list[Part] = []
    waiting: list[Sequence[PairWork]] = [batch.pairs]
    while waiting:
        pairs = waiting.pop()
        before_run()
        part = _run(cast(Scorer, batch.lane), pairs)
        parts.append(part)
        if part.failure == "error" and len(pairs) > 1:
            half = len(pairs) // 2
            waiting += [pairs[half:], pairs[:half]]
            parts[-1] = Part((), None, "error")
    return parts


def _run(scorer: Scorer, pairs: Sequence[PairWork]) -> Part:
    try:
        answer: Any = scorer.score([cast(Pair, pair.payload) for pair in pairs])
        rows = np.asarray(answer, dtype=np.float32)
    except Exception:  # Whatever a model raises, the other pairs and the other batches go on.
        return Part(pairs, None, "error")
    if rows.shape != (len(pairs), len(scorer.heads)):
        # Nobody can tell which row belongs to which pair; running it again would not help.
        return Part(pairs, None, "shape")
    return Part(pairs, rows, None if np.isfinite(rows).all() else "not_finite")
