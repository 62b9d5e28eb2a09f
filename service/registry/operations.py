"""The kinds of work that a model does, each as a lane: payloads in, one result per payload out, with its own cost.

Knows models, not queues, threads or requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.scorers.interface import Scorer
from models.scorers.split import Block, MemberState, SplitScorer
from models.slots.codec import Slots
from models.text import Pair, TokenIds
from service.batching.jobs import NoResult, WrongShape
from service.batching.latency_model import BatchPolicy, LatencyTable

Rows = NDArray[np.float32]
"""Probabilities; the last axis is the heads."""

S = TypeVar("S")


@dataclass(frozen=True, eq=False)
class _Whole(Generic[S]):
    """A lane whose payloads are not cut and whose results are arrays."""

    leads_on = False

    scorer: S
    packing: BatchPolicy

    def sound(self, result: NDArray[Any]) -> bool:
        """See `work.Lane`."""
        return _finite(result)

    def halves(self, payload: object) -> Sequence[Any]:
        """See `work.Lane`."""
        return ()

    def join(self, halves: Sequence[Any], results: Sequence[Any]) -> object:
        """Never asked for."""
        raise NotImplementedError


class PairOperation(_Whole[Scorer]):
    """Pairs that a cross-encoder reads whole. Length: tokens. Result: one row f32[heads]."""

    name = "pair"

    def run(self, payloads: Sequence[Pair]) -> Sequence[Rows]:
        """Score the pairs."""
        rows = np.asarray(self.scorer.score(payloads), dtype=np.float32)
        _expect(rows, (len(payloads), len(self.scorer.heads)))
        return list(rows)


class MemberOperation(_Whole[SplitScorer]):
    """Members' token ids. Length: tokens. Result: MemberState."""

    name, leads_on = "member", True

    def run(self, payloads: Sequence[TokenIds]) -> Sequence[MemberState]:
        """Encode the members."""
        return self.scorer.encode_members(payloads)

    def sound(self, result: MemberState) -> bool:  # type: ignore[override]  # no array, but two
        """See `work.Lane`."""
        return _finite(result.vector) and (result.keys_values is None or _finite(result.keys_values))


class CandidateOperation(_Whole[SplitScorer]):
    """Candidates' token ids. Length: tokens. Result: slots f16[S, d]."""

    name, leads_on = "candidate", True

    def run(self, payloads: Sequence[TokenIds]) -> Sequence[Slots]:
        """Encode the candidates."""
        slots = self.scorer.encode_candidates(payloads)
        _expect(slots, (len(payloads), *slots.shape[1:]))
        return list(slots)


class BackgroundOperation(CandidateOperation):
    """Candidates that nobody waits for: their batches are shorter, so that whoever comes is not held up by one."""

    name, leads_on = "ahead", False


class ScoreOperation(_Whole[SplitScorer]):
    """Blocks: one member against C candidates. Length: C. Result: rows f32[C, heads]."""

    name = "score"

    def run(self, payloads: Sequence[Block]) -> Sequence[Rows]:
        """Score the blocks."""
        results = self.scorer.score_blocks(payloads)
        for block, rows in zip(payloads, results, strict=True):
            _expect(rows, (len(block), len(self.scorer.heads)))
        return results

    def halves(self, payload: Block) -> Sequence[Block]:  # type: ignore[override]  # narrower: nothing else comes
        """Both halves of a block's candidates."""
        half = len(payload) // 2
        return [Block(payload.member, payload.slots[part]) for part in (slice(half), slice(half, None))] if half else ()

    def join(self, halves: Sequence[Block], results: Sequence[Rows | NoResult]) -> Rows:
        """The block's rows; NaN for candidates that failed."""
        heads = len(self.scorer.heads)
        parts = [
            np.full((len(half), heads), np.nan, dtype=np.float32) if isinstance(result, NoResult) else result
            for half, result in zip(halves, results, strict=True)
        ]
        return np.concatenate(parts)


class Warmable(Protocol):
    """Has something to run before the first batch."""

    def warm_up(self) -> None:
        """On the thread that will run the batches."""
        ...


# Whatever the model: a warm-up runs once, and while it does the door should not promise that second to anybody.
_ABOUT_A_SECOND = LatencyTable((1,), (1,), ((1.0,),))


class WarmUpOperation(_Whole[Warmable]):
    """A scorer's warm-up, on the model thread like any batch: CUDA graphs belong to the thread that captures them."""

    name = "warm_up"

    @classmethod
    def of(cls, scorer: Warmable) -> WarmUpOperation:
        """For a lane that runs once."""
        return cls(scorer, BatchPolicy(_ABOUT_A_SECOND, max_batch_tokens=1, max_batch_s=1.0))

    def run(self, payloads: Sequence[None]) -> Sequence[bool]:
        """Warm up; the result is that it ended."""
        self.scorer.warm_up()
        return [True] * len(payloads)

    def sound(self, result: bool) -> bool:  # type: ignore[override]  # it has no numbers
        """See `work.Lane`."""
        return result


@dataclass(frozen=True, eq=False)
class SplitOperations:
    """The kinds of work of a split model, and the shape [S, d] of its slots."""

    shape: tuple[int, int]
    members: MemberOperation
    candidates: CandidateOperation
    ahead: BackgroundOperation
    scores: ScoreOperation


def _finite(array: NDArray[Any]) -> bool:
    return bool(np.isfinite(array).all())


def _expect(array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise WrongShape
