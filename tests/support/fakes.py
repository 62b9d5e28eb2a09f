"""Fakes whose answers depend on their input, and gates that stop time where a test wants it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
from numpy.typing import NDArray

from models.bundle.files import Bundle
from models.loading import open_scorer
from models.runtime.providers import RunMode
from models.scorers.interface import Scorer
from models.scorers.split import Block, MemberState, SplitScorer
from models.slots.codec import SlotFormat, Slots
from models.text import Pair, TokenIds
from service.batching.jobs import Operation
from service.batching.latency_model import LatencyTable
from service.batching.packing import BatchPolicy
from service.registry.loading import LiveModel, load_model
from service.registry.operations import (
    SplitOperations,
    candidate_operation,
    member_operation,
    pair_operation,
    score_operation,
)
from service.registry.swap import Load
from service.registry.warmup import BatchCaps
from service.settings import ModelSettings
from tests.support.waiting import PATIENCE_S


class Clock:
    """Seconds since the epoch that move when a test says so."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


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


def load_tiny(path: Path, run_mode: RunMode = "plain") -> LiveModel:
    """Load a bundle as the service does."""
    return load_model(path, ModelSettings(device="cpu", threads=1, gpu_run=run_mode), BatchCaps(512, 0.04))


def pair_operation_of(model: LiveModel) -> Operation:
    """The operation of a cross-encoder."""
    assert isinstance(model.operations, Operation)
    return model.operations


def loading(scorer: Scorer, *, run_s: float = 0.001, max_batch_tokens: int = 8192) -> Load:
    """A loader that puts `scorer` into a real bundle's place; each of its runs is predicted to take `run_s`."""

    def load(path: Path) -> LiveModel:
        cost = LatencyTable((1, 64), (1, 64), ((run_s,) * 2,) * 2)
        packing = BatchPolicy(cost, max_batch_tokens=max_batch_tokens, max_batch_s=0.04)
        return replace(load_tiny(path), operations=pair_operation(scorer, packing))

    return load


class WatchedSplit(SplitScorer):
    """A split scorer that counts what it encodes; each hook is called before its graph runs, and may raise or wait."""

    def __init__(self, scorer: SplitScorer) -> None:
        vars(self).update(vars(scorer))
        self.before_members: Callable[[Sequence[TokenIds]], object] = len
        self.before_candidates: Callable[[Sequence[TokenIds]], object] = len
        self.before_blocks: Callable[[Sequence[Block]], object] = len
        self.num_members = self.num_candidates = 0

    def encode_members(self, members: Sequence[TokenIds]) -> list[MemberState]:
        self.num_members += len(members)
        self.before_members(members)
        return super().encode_members(members)

    def encode_candidates(self, candidates: Sequence[TokenIds]) -> Slots:
        self.num_candidates += len(candidates)
        self.before_candidates(candidates)
        return super().encode_candidates(candidates)

    def score_blocks(self, blocks: Sequence[Block]) -> list[NDArray[np.float32]]:
        self.before_blocks(blocks)
        return super().score_blocks(blocks)


class WatchedModel:
    """Loads split bundles, each with its scorer watched. `encode_s` is what a candidate is predicted to take."""

    def __init__(self, *, encode_s: float = 0.001) -> None:
        self._encode_s = encode_s
        self.scorers: list[WatchedSplit] = []

    @property
    def scorer(self) -> WatchedSplit:
        return self.scorers[-1]

    def __call__(self, path: Path) -> LiveModel:
        model = load_tiny(path)
        scorer = open_scorer(Bundle.load(path), "cpu", 1)
        assert isinstance(model.operations, SplitOperations)
        assert isinstance(scorer, SplitScorer)
        self.scorers.append(WatchedSplit(scorer))
        quick, slow = _policy(0.001, 0.001), _policy(self._encode_s, self._encode_s * 64)
        watched = SplitOperations(
            slots=model.operations.slots,
            members=member_operation(self.scorer, quick),
            candidates=candidate_operation(self.scorer, slow),
            background=candidate_operation(self.scorer, slow, background=True),
            scores=score_operation(self.scorer, quick),
        )
        return replace(model, operations=watched)


def _policy(one_s: float, many_s: float) -> BatchPolicy:
    """Costs of a batch of 1 and of 64, for every length."""
    cost = LatencyTable((1, 64), (1, 64), ((one_s,) * 2, (many_s,) * 2))
    return BatchPolicy(cost, max_batch_tokens=8192, max_batch_s=0.04)


def empty_operations(*, room: int) -> SplitOperations:
    """Operations without a model. A batch holds `room` texts of four tokens."""
    policy = BatchPolicy(LatencyTable((1,), (1,), ((0.001,),)), max_batch_tokens=4 * room, max_batch_s=100.0)
    operation = candidate_operation(Mock(), policy)
    return SplitOperations(SlotFormat((2, 8)), operation, operation, operation, operation)


PATIENT = ModelSettings(device="cpu", threads=1, trial_s=300.0, trial_bytes=400 << 20)
SMALL_CAPS = BatchCaps(64, 0.01)
