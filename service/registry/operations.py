"""The operations of a model: payloads in, one result per payload out, each with its own batch policy.

Knows models, not queues, threads or requests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.scorers.interface import Scorer
from models.scorers.split import Block, MemberState, SplitScorer
from models.slots.codec import SlotFormat, Slots
from models.text import Pair, TokenIds
from service.batching.jobs import Bisection, NoResult, Operation, WrongShape
from service.batching.latency_model import LatencyTable
from service.batching.packing import BatchPolicy

Rows = NDArray[np.float32]
"""Probabilities; the last axis is the heads."""


@dataclass(frozen=True, eq=False, slots=True)
class SplitOperations:
    """The operations of a split model, and the format of a candidate's slots."""

    slots: SlotFormat
    members: Operation
    candidates: Operation
    background: Operation
    scores: Operation


def pair_operation(scorer: Scorer, policy: BatchPolicy) -> Operation:
    """Pairs of token ids for a cross-encoder. Length: tokens. Result: one row f32[heads]."""

    def run(pairs: Sequence[Pair]) -> Sequence[Rows]:
        rows = np.asarray(scorer.score(pairs), dtype=np.float32)
        _expect(rows, (len(pairs), len(scorer.heads)))
        return list(rows)

    return Operation("pair", policy, run, _is_finite)


def member_operation(scorer: SplitScorer, policy: BatchPolicy) -> Operation:
    """Token ids of members. Length: tokens. Result: MemberState."""

    def is_finite(state: MemberState) -> bool:
        return _is_finite(state.vector) and (state.keys_values is None or _is_finite(state.keys_values))

    return Operation("member", policy, scorer.encode_members, is_finite, has_followup=True)


def candidate_operation(scorer: SplitScorer, policy: BatchPolicy, *, background: bool = False) -> Operation:
    """Token ids of candidates. Length: tokens. Result: slots [S, d]. No request waits for a background one."""

    def run(candidates: Sequence[TokenIds]) -> Sequence[Slots]:
        slots = scorer.encode_candidates(candidates)
        _expect(slots, (len(candidates), *slots.shape[1:]))
        return list(slots)

    return Operation("ahead" if background else "candidate", policy, run, _is_finite, has_followup=not background)


def score_operation(scorer: SplitScorer, policy: BatchPolicy) -> Operation:
    """Blocks: one member against C candidates. Length: C. Result: f32[C, heads], NaN where a candidate failed."""
    num_heads = len(scorer.heads)

    def run(blocks: Sequence[Block]) -> Sequence[Rows]:
        results = scorer.score_blocks(blocks)
        for block, rows in zip(blocks, results, strict=True):
            _expect(rows, (len(block), num_heads))
        return results

    def divide(block: Block) -> Sequence[Block]:
        half = len(block) // 2
        return [block.part(rows) for rows in (slice(half), slice(half, None))] if half else ()

    def join(halves: Sequence[Block], results: Sequence[Rows | NoResult]) -> Rows:
        parts = [
            np.full((len(half), num_heads), np.nan, dtype=np.float32) if isinstance(result, NoResult) else result
            for half, result in zip(halves, results, strict=True)
        ]
        return np.concatenate(parts)

    return Operation("score", policy, run, _is_finite, bisection=Bisection(divide, join))


def warm_up_operation(warm_up: Callable[[], None]) -> Operation:
    """A scorer's warm-up as a batch: CUDA graphs belong to the thread that captures them. Result: True.

    It is predicted to take a second for any model, so that no request is admitted to that second.
    """
    policy = BatchPolicy(LatencyTable((1,), (1,), ((1.0,),)), max_batch_tokens=1, max_batch_s=1.0)

    def run(payloads: Sequence[None]) -> Sequence[bool]:
        warm_up()
        return [True] * len(payloads)

    return Operation("warm_up", policy, run, bool)


def _is_finite(array: NDArray[Any]) -> bool:
    return bool(np.isfinite(array).all())


def _expect(array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise WrongShape
