"""Runs every size of batch that a fresh model will see, which also sizes the runtime's memory, and keeps the times.

Knows no bundles and no requests: scorer in, lanes with their costs out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.scorers.interface import Scorer
from models.scorers.split import Block, SplitScorer
from models.text import Pair, TextEncoder, TokenIds
from service.batching.latency_model import BatchPolicy, LatencyTable
from service.registry.operations import (
    BackgroundOperation,
    CandidateOperation,
    MemberOperation,
    PairOperation,
    ScoreOperation,
    SplitOperations,
)

TOKENS = (16, 64)
"""Lengths of texts that are measured, beside the longest."""
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MEMBERS = (1, 2, 4, 8, 16)
BLOCKS = (1, 2, 4, 8, 16)
CANDIDATES = (1, 8, 32, 128, 512, 1024)
# What nobody waits for is encoded in batches of this share of the longest, so that it is soon out of the way.
AHEAD_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class BatchCaps:
    """The most that one batch may be: padded tokens, and predicted seconds."""

    tokens: int
    seconds: float


def operations_of(
    scorer: Scorer | SplitScorer, encoder: TextEncoder, caps: BatchCaps
) -> PairOperation | SplitOperations:
    """The model's lanes, warm and measured."""
    if not isinstance(scorer, SplitScorer):
        cost = _measure(lambda n, length: scorer.score([_pair(length)] * n), TEXTS, _tokens(encoder.longest_pair), caps)
        return PairOperation(scorer, _packing(cost, caps))
    members = _measure(
        lambda n, length: scorer.encode_members([_ids(length)] * n), MEMBERS, _tokens(encoder.longest_member), caps
    )
    candidates = _measure(
        lambda n, length: scorer.encode_candidates([_ids(length)] * n), TEXTS, _tokens(encoder.longest_candidate), caps
    )
    shape = scorer.encode_candidates([_ids(8)]).shape[1:]
    scores, score_caps = _measure_scores(scorer, encoder, shape, caps)
    brief = BatchCaps(caps.tokens, caps.seconds * AHEAD_SHARE)
    return SplitOperations(
        shape=shape,
        members=MemberOperation(scorer, _packing(members, caps)),
        candidates=CandidateOperation(scorer, _packing(candidates, caps)),
        ahead=BackgroundOperation(scorer, _packing(candidates, brief)),
        scores=ScoreOperation(scorer, _packing(scores, score_caps)),
    )


def _measure_scores(
    scorer: SplitScorer, encoder: TextEncoder, shape: tuple[int, int], caps: BatchCaps
) -> tuple[LatencyTable, BatchCaps]:
    """Seconds[blocks, candidates] against the longest member. A slot counts as a token of a batch."""
    [member] = scorer.encode_members([_ids(encoder.longest_member)])
    score_caps = BatchCaps(max(1, caps.tokens // shape[0]), caps.seconds)
    lengths = [length for length in CANDIDATES if length <= score_caps.tokens]

    def run(blocks: int, candidates: int) -> object:
        return scorer.score_blocks([Block(member, np.zeros((candidates, *shape), np.float16))] * blocks)

    return _measure(run, BLOCKS, lengths, score_caps), score_caps


def _measure(
    run: Callable[[int, int], object], sizes: Sequence[int], lengths: Sequence[int], caps: BatchCaps
) -> LatencyTable:
    fitting = [size for size in sizes if size * lengths[0] <= caps.tokens]
    return LatencyTable.measure(
        run,
        time.perf_counter,
        batch_sizes=fitting or [1],
        lengths=lengths,
        limit_s=2 * caps.seconds,
        repeats=2,
    )


def _packing(cost: LatencyTable, caps: BatchCaps) -> BatchPolicy:
    return BatchPolicy(cost, max_batch_tokens=caps.tokens, max_batch_s=caps.seconds)


def _tokens(longest: int) -> list[int]:
    return sorted({min(length, longest) for length in (*TOKENS, longest)})


def _ids(length: int) -> TokenIds:
    return np.ones(length, dtype=np.int32)


def _pair(length: int) -> Pair:
    return Pair(_ids(length // 2), _ids(length - length // 2))
