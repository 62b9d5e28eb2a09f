"""Runs every batch size that a new model will see, which also sizes the runtime's memory, and measures the times.

Knows no bundles and no requests: scorer in, operations with measured batch policies out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.scorers.interface import Scorer
from models.scorers.split import Block, SplitScorer
from models.slots.codec import SlotFormat
from models.text import Pair, TextEncoder, TokenIds
from service.batching.jobs import Operation
from service.batching.latency_model import LatencyTable
from service.batching.packing import BatchPolicy
from service.registry.operations import (
    SplitOperations,
    candidate_operation,
    member_operation,
    pair_operation,
    score_operation,
)

# What a model in use is given before each run of the next one.
GiveWay = Callable[[], object]
TOKENS = (16, 64)
"""Measured lengths of texts, beside the longest."""
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MEMBERS = (1, 2, 4, 8, 16)
BLOCKS = (1, 2, 4, 8, 16)
CANDIDATES = (1, 8, 32, 128, 512, 1024)
# Background batches are this much shorter, so that a request waits less for one.
BACKGROUND_FRACTION = 0.25


@dataclass(frozen=True, slots=True)
class BatchCaps:
    """The caps of one batch: padded tokens, and predicted seconds."""

    tokens: int
    seconds: float


def measured_operations(
    scorer: Scorer | SplitScorer, encoder: TextEncoder, caps: BatchCaps, give_way: GiveWay
) -> Operation | SplitOperations:
    """The operations of a model, warm and measured. `give_way()` is called before each run."""
    if not isinstance(scorer, SplitScorer):
        pairs = _measure(
            lambda n, length: scorer.score([_pair(length)] * n), TEXTS, _tokens(encoder.longest_pair), caps, give_way
        )
        return pair_operation(scorer, _policy(pairs, caps))
    members = _measure(
        lambda n, length: scorer.encode_members([_ids(length)] * n),
        MEMBERS,
        _tokens(encoder.longest_member),
        caps,
        give_way,
    )
    candidates = _measure(
        lambda n, length: scorer.encode_candidates([_ids(length)] * n),
        TEXTS,
        _tokens(encoder.longest_candidate),
        caps,
        give_way,
    )
    [slots] = scorer.encode_candidates([_ids(8)])
    rows, width = slots.shape
    slot_format = SlotFormat((rows, width), slots.dtype)
    scores, score_caps = _measure_scores(scorer, encoder, slot_format, caps, give_way)
    short = BatchCaps(caps.tokens, caps.seconds * BACKGROUND_FRACTION)
    return SplitOperations(
        slots=slot_format,
        members=member_operation(scorer, _policy(members, caps)),
        candidates=candidate_operation(scorer, _policy(candidates, caps)),
        background=candidate_operation(scorer, _policy(candidates, short), background=True),
        scores=score_operation(scorer, _policy(scores, score_caps)),
    )


def _measure_scores(
    scorer: SplitScorer, encoder: TextEncoder, slots: SlotFormat, caps: BatchCaps, give_way: GiveWay
) -> tuple[LatencyTable, BatchCaps]:
    """Seconds of blocks by their candidates, with the longest member. A slot counts as a token of a batch."""
    [member] = scorer.encode_members([_ids(encoder.longest_member)])
    score_caps = BatchCaps(max(1, caps.tokens // slots.shape[0]), caps.seconds)
    lengths = [length for length in CANDIDATES if length <= score_caps.tokens]

    def run(blocks: int, candidates: int) -> object:
        return scorer.score_blocks([Block(member, slots.zeros(candidates))] * blocks)

    return _measure(run, BLOCKS, lengths, score_caps, give_way), score_caps


def _measure(
    run: Callable[[int, int], object], sizes: Sequence[int], lengths: Sequence[int], caps: BatchCaps, give_way: GiveWay
) -> LatencyTable:
    fitting = [size for size in sizes if size * lengths[0] <= caps.tokens]
    return LatencyTable.measure(
        run,
        time.perf_counter,
        batch_sizes=fitting or [1],
        lengths=lengths,
        limit_s=caps.seconds,
        repeats=2,
        before_run=give_way,
    )


def _policy(latency: LatencyTable, caps: BatchCaps) -> BatchPolicy:
    return BatchPolicy(latency, max_batch_tokens=caps.tokens, max_batch_s=caps.seconds)


def _tokens(longest: int) -> list[int]:
    return sorted({min(length, longest) for length in (*TOKENS, longest)})


def _ids(length: int) -> TokenIds:
    return np.ones(length, dtype=np.int32)


def _pair(length: int) -> Pair:
    return Pair(_ids(length // 2), _ids(length - length // 2))
