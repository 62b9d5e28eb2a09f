"""Stand-ins whose answers depend on what they are asked, and gates that stop time where a test wants it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.scorer import Scorer
from models.text import Pair
from service.cost import CostTable
from service.lifecycle import Load
from service.models import LiveModel, load_model

PATIENCE_S = 20.0


class SumScorer:
    """Two heads from the sums of the ids: `edit` may raise, or change the rows."""

    heads = ("relevance", "apply")

    def __init__(self, edit: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None) -> None:
        self._edit = edit
        self.num_pairs = 0

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        self.num_pairs += len(pairs)
        sums = [(int(pair.member.sum()) % 97, int(pair.candidate.sum()) % 89) for pair in pairs]
        rows = np.array(sums, dtype=np.float32).reshape(-1, 2) / np.float32(100)
        return self._edit(rows) if self._edit else rows


class GatedScorer(SumScorer):
    """Says when a run has begun, and does not end it before the gate opens."""

    def __init__(self) -> None:
        super().__init__(self._wait)
        self.began = threading.Event()
        self.gate = threading.Event()

    def _wait(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        self.began.set()
        assert self.gate.wait(PATIENCE_S)
        return rows


def load_tiny(path: Path) -> LiveModel:
    """Load a bundle as the service does."""
    return load_model(path, device="cpu", threads=1, max_batch_tokens=512, max_batch_s=0.04)


def loading(scorer: Scorer, *, run_s: float = 0.001) -> Load:
    """A loader that puts `scorer` into a real bundle's place; each of its runs is predicted to take `run_s`."""

    def load(path: Path) -> LiveModel:
        return replace(load_tiny(path), scorer=scorer, cost=CostTable((1, 64), (1, 64), ((run_s,) * 2,) * 2))

    return load
