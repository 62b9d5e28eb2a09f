"""Inputs of a split model: look up member and candidates, encode the missing ones while time allows, cut blocks.

Knows nothing of HTTP, nor how scores become a response.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models.scorers.split import Block, MemberState
from models.slots.codec import Slots
from models.text import TokenIds
from service.batching.jobs import CostEstimate, NoResult
from service.encoding.inputs import Prepared
from service.encoding.lookup import LookupResult
from service.encoding.parts import EncodingParts
from service.encoding.single_flight import Encoded
from service.encoding.tokenization import estimate_chunks, estimate_tokens
from service.observability.timings import Timings
from service.registry.loading import LiveModel
from service.registry.operations import SplitOperations
from service.request import ItemStatus, ScoringRequest

# The fraction of the remaining time that encoding may plan with: predictions err.
ENCODE_FRACTION = 0.8
# Before the deadline, scoring gets this multiple of its predicted time and of the batch that it may wait for.
SCORE_MARGIN = 2.0
# But encoding keeps at least this fraction of the time.
LEAST_ENCODE_FRACTION = 0.6
NOTHING = Encoded({}, 0.0)


@dataclass(frozen=True, slots=True)
class SplitInputs:
    """See `Inputs`."""

    model: LiveModel
    operations: SplitOperations
    parts: EncodingParts

    def estimate(self, request: ScoringRequest, now: float) -> CostEstimate:
        """See `Inputs`. All candidates count as cached, since the time left decides how many others are encoded."""
        members, scores = self.operations.members.batch_policy, self.operations.scores.batch_policy
        num_candidates, encoder = len(request.candidates), self.model.encoder
        num_rows = num_candidates
        if encoder.chunks > 1:
            num_rows = sum(estimate_chunks(each, encoder) for each in request.candidates)
        tokens = estimate_tokens(request.member, encoder.longest_member)
        text_s = self.parts.tokenizer.text_s.factor(now)
        member_factor, score_factor = members.correction.factor(now), scores.correction.factor(now)
        runs = self._runs(request) if request.explain else 1
        return CostEstimate(
            prepare_s=text_s * (1 + num_candidates),
            encode_s=members.unit_cost(tokens) * member_factor,
            score_s=runs * scores.total_cost(scores.split_evenly(num_rows)) * score_factor,
            turn_s=members.max_batch_s * member_factor,
        )

    def _runs(self, request: ScoringRequest) -> int:
        """How often each candidate is scored, at most."""
        return 1 + len(self.model.features) * request.explain

    async def prepare(self, request: ScoringRequest, estimate: CostEstimate, timings: Timings) -> Prepared:
        """See `Inputs`. Blocks of the candidates whose slots are cached or encoded in time."""
        parts = self.parts
        find = partial(parts.lookup.find, self.model, self.operations.slots, request)
        found = await parts.tokenizer.run(find, request, estimate)
        misses = sum(key in found.missing for key in found.keys) if found.missing else 0
        member_hit = isinstance(found.member, MemberState)
        parts.metrics.looked_up(hits=len(found.keys) - misses, misses=misses, member_hit=member_hit)
        if found.store_failed:
            parts.metrics.store_failed("get")
        timings.lap("lookup")
        member: MemberState | NoResult
        if isinstance(found.member, MemberState) and not found.missing:
            member, encoded = found.member, NOTHING
        else:
            score_ns = round(1e9 * estimate.score_s)
            parts.engine.announced_ns += score_ns  # until its blocks are in the queue
            try:
                member, encoded = await self._encode(request, found)
            finally:
                parts.engine.announced_ns -= score_ns
        timings.lap("encode")
        timings.split("encode", "model", encoded.model_s)
        prepared = self._blocks(found, member, encoded.results)
        if request.explain:
            prepared = self._with_explanations(prepared)
        if request.whole and ItemStatus.cold in prepared.settled.values():
            return replace(prepared, ready_in_s=parts.background.ready_in_s())
        return prepared

    async def _encode(self, request: ScoringRequest, found: LookupResult) -> tuple[MemberState | NoResult, Encoded]:
        """The member's state and the slots of the missing candidates, encoded side by side."""
        latest = self._latest(len(found.keys) * self._runs(request), request.deadline)
        # The plan comes first: the member's job in the queue would count as backlog, although it runs beside.
        plan = self._plan(found.missing, latest)
        if isinstance(found.member, MemberState):
            return found.member, await self._encode_candidates(request, found.missing, plan, latest)
        encode_member = self.parts.members.encode(
            self.operations.members,
            {found.member_key: found.member},
            arrived=time.monotonic(),
            deadline=request.deadline,
            priority_penalty_s=request.priority_penalty_s,
        )
        if found.missing:
            encode_candidates = self._encode_candidates(request, found.missing, plan, latest)
            member, encoded = await asyncio.gather(encode_member, encode_candidates)
        else:
            member, encoded = await encode_member, NOTHING
        state = member.results.get(found.member_key, NoResult.late)
        return state, Encoded(encoded.results, member.model_s + encoded.model_s)

    async def _encode_candidates(
        self, request: ScoringRequest, missing: Mapping[bytes, TokenIds], plan: dict[bytes, TokenIds], latest: float
    ) -> Encoded:
        """Encode as many as the time allows, and plan again with the time left; the rest waits in the background."""
        results: dict[bytes, Slots | NoResult] = {}
        model_s = 0.0
        left = dict(missing)
        while plan:
            encoded = await self.parts.candidates.encode(
                self.operations.candidates,
                plan,
                arrived=time.monotonic(),
                deadline=latest,
                priority_penalty_s=request.priority_penalty_s,
            )
            results.update(encoded.results)
            model_s += encoded.model_s
            left = {key: ids for key, ids in left.items() if key not in results}
            plan = self._plan(left, latest)
        self.parts.background.discard(results)
        self.parts.background.add(self.operations, left)
        return Encoded(results, model_s)

    def _latest(self, num_candidates: int, deadline: float) -> float:
        """When encoding must end, so that the candidates can be scored before the deadline."""
        now = time.monotonic()
        scores, candidates = self.operations.scores.batch_policy, self.operations.candidates.batch_policy
        score_s = scores.total_cost(scores.split_evenly(num_candidates)) * scores.correction.factor(now)
        turn_s = candidates.max_batch_s * candidates.correction.factor(now)
        return deadline - min(SCORE_MARGIN * (score_s + turn_s), (1 - LEAST_ENCODE_FRACTION) * (deadline - now))

    def _plan(self, missing: Mapping[bytes, TokenIds], latest: float) -> dict[bytes, TokenIds]:
        """As many missing candidates, in the order of the request, as can be encoded in time."""
        now = time.monotonic()
        policy = self.operations.candidates.batch_policy
        factor = policy.correction.factor(now)
        left_s = ENCODE_FRACTION * (latest - now) - self.parts.engine.queued_seconds()
        plan: dict[bytes, TokenIds] = {}
        for key, ids in missing.items():
            left_s -= policy.unit_cost(len(ids)) * factor
            if left_s < 0:
                break
            plan[key] = ids
        return plan

    def _blocks(
        self, found: LookupResult, member: MemberState | NoResult, encoded: Mapping[bytes, Slots | NoResult]
    ) -> Prepared:
        """Blocks of all candidates that have slots; an outcome for each of the others."""
        operation = self.operations.scores
        settled: dict[int, ItemStatus | NoResult] = dict(found.refused)
        if isinstance(member, NoResult):
            settled.update(dict.fromkeys(found.places, member))
            return Prepared(operation, (), (), (), settled, found.readings)
        rows: list[int] = []
        for row, (key, place) in enumerate(zip(found.keys, found.places, strict=True)):
            slots = encoded.get(key, NoResult.late) if key in found.missing else None
            if isinstance(slots, NoResult):
                settled[place] = ItemStatus.cold if slots is NoResult.late else NoResult.failed
                continue
            if slots is not None:
                found.slots[row] = slots
            rows.append(row)
        if self.model.encoder.chunks > 1 and len(rows) < len(found.keys):
            rows = [row for row in rows if found.places[row] not in settled]  # all of a candidate's chunks, or none
        slots_of_rows = found.slots if len(rows) == len(found.keys) else found.slots[rows]
        whole = Block(member, slots_of_rows, self._features(found, rows))
        lengths = operation.batch_policy.split_evenly(len(rows))
        ends = np.cumsum(lengths).tolist()
        spans = [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
        return Prepared(
            operation,
            [whole.part(span) for span in spans] if len(spans) > 1 else [whole] * len(spans),
            lengths,
            [[found.places[row] for row in rows[span]] for span in spans],
            settled,
            found.readings,
        )

    def _features(self, found: LookupResult, rows: list[int]) -> NDArray[np.float32] | None:
        """Inputs f32[rows, features] of the candidates that have slots; None for a model that reads none."""
        features = found.readings.features
        if features is None or not self.model.features:
            return None
        return features.values[[found.places[row] for row in rows]]

    def _with_explanations(self, prepared: Prepared) -> Prepared:
        """Followed by all blocks again for each feature that is not at its default everywhere."""
        blocks = [block for block in prepared.payloads if isinstance(block, Block)]
        more: list[Block] = []
        explained: list[int] = []
        for index, default in enumerate(self.model.features.defaults.tolist()):
            if any(block.features is not None and (block.features[:, index] != default).any() for block in blocks):
                explained.append(index)
                more += [_without(block, index, default) for block in blocks]
        lengths = [*prepared.lengths, *map(len, more)]
        return replace(prepared, payloads=[*blocks, *more], lengths=lengths, explained=explained)


def _without(block: Block, index: int, default: float) -> Block:
    """The block with one feature at its default."""
    assert block.features is not None  # some of the request's candidates have features, so every block has them
    features = block.features.copy()
    features[:, index] = default
    return replace(block, features=features)
