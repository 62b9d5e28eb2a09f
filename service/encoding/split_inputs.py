"""Inputs of a split model: look up member and candidates, encode the missing ones while time allows, cut blocks.

Knows nothing of HTTP, nor how scores become a response.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from models.scorers.split import Block, MemberState
from models.slots.codec import Slots
from models.text import TokenIds
from service.batching.jobs import CostEstimate, NoResult
from service.encoding.inputs import Prepared
from service.encoding.lookup import LookupResult
from service.encoding.parts import EncodingParts
from service.encoding.single_flight import Encoded
from service.encoding.tokenization import estimate_tokens
from service.observability.timings import Timings
from service.registry.loading import LiveModel
from service.registry.operations import SplitOperations
from service.request import ItemStatus, ScoringRequest

# The fraction of the remaining time that encoding may plan with: predictions err.
ENCODE_FRACTION = 0.8
# Scoring gets this multiple of its predicted time before the deadline, since it may have to wait for a batch.
SCORE_MARGIN = 2.0
NOTHING = Encoded({}, 0.0)


@dataclass(frozen=True, slots=True)
class EncodePlan:
    """Token ids of the candidates to encode before `deadline`, and of those that there is no time for."""

    now: dict[bytes, TokenIds]
    deadline: float
    later: dict[bytes, TokenIds]


@dataclass(frozen=True, slots=True)
class SplitInputs:
    """See `Inputs`."""

    model: LiveModel
    operations: SplitOperations
    parts: EncodingParts

    def estimate(self, request: ScoringRequest, now: float) -> CostEstimate:
        """See `Inputs`. All candidates count as cached, since the time left decides how many others are encoded."""
        members, scores = self.operations.members.batch_policy, self.operations.scores.batch_policy
        num_candidates = len(request.candidates)
        text_s = self.parts.tokenizer.text_s.factor(now)
        member_factor, score_factor = members.correction.factor(now), scores.correction.factor(now)
        tokens = estimate_tokens(request.member, self.model.encoder.longest_member)
        return CostEstimate(
            prepare_s=text_s * (1 + num_candidates),
            encode_s=members.unit_cost(tokens) * member_factor,
            score_s=scores.total_cost(scores.split_evenly(num_candidates)) * score_factor,
            turn_s=members.max_batch_s * member_factor,
        )

    async def prepare(self, request: ScoringRequest, estimate: CostEstimate, timings: Timings) -> Prepared:
        """See `Inputs`. Blocks of the candidates whose slots are cached or encoded in time."""
        parts = self.parts
        find = partial(parts.lookup.find, self.model, self.operations.shape, request.member, request.candidates)
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
        return self._blocks(found, member, encoded.results)

    async def _encode(self, request: ScoringRequest, found: LookupResult) -> tuple[MemberState | NoResult, Encoded]:
        """The member's state and the slots of the missing candidates, encoded side by side."""
        # The plan comes first: the member's job in the queue would count as backlog, although it runs beside.
        plan = self._plan(found, request.deadline)
        if isinstance(found.member, MemberState):
            return found.member, await self._encode_candidates(request, plan)
        encode_member = self.parts.members.encode(
            self.operations.members,
            {found.member_key: found.member},
            arrived=time.monotonic(),
            deadline=request.deadline,
            priority_penalty_s=request.priority_penalty_s,
        )
        if found.missing:
            member, encoded = await asyncio.gather(encode_member, self._encode_candidates(request, plan))
        else:
            member, encoded = await encode_member, NOTHING
        state = member.results.get(found.member_key, NoResult.late)
        return state, Encoded(encoded.results, member.model_s + encoded.model_s)

    async def _encode_candidates(self, request: ScoringRequest, plan: EncodePlan) -> Encoded:
        """Encode the candidates that there is time for; the others wait in the background."""
        encoded = await self.parts.candidates.encode(
            self.operations.candidates,
            plan.now,
            arrived=time.monotonic(),
            deadline=plan.deadline,
            priority_penalty_s=request.priority_penalty_s,
        )
        self.parts.background.discard(encoded.results)
        cold = {key: ids for key, ids in {**plan.later, **plan.now}.items() if key not in encoded.results}
        self.parts.background.add(self.operations, cold)
        return encoded

    def _plan(self, found: LookupResult, deadline: float) -> EncodePlan:
        """As many missing candidates, in the order of the request, as can be encoded and scored in time."""
        now = time.monotonic()
        scores = self.operations.scores.batch_policy
        score_s = scores.total_cost(scores.split_evenly(len(found.keys))) * scores.correction.factor(now)
        latest = deadline - SCORE_MARGIN * score_s
        left_s = ENCODE_FRACTION * (latest - now) - self.parts.engine.queued_seconds()
        policy = self.operations.candidates.batch_policy
        factor = policy.correction.factor(now)
        plan = EncodePlan({}, latest, {})
        for key, ids in found.missing.items():
            left_s -= policy.unit_cost(len(ids)) * factor
            (plan.now if left_s >= 0 else plan.later)[key] = ids
        return plan

    def _blocks(
        self, found: LookupResult, member: MemberState | NoResult, encoded: Mapping[bytes, Slots | NoResult]
    ) -> Prepared:
        """Blocks of all candidates that have slots; an outcome for each of the others."""
        operation = self.operations.scores
        settled: dict[int, ItemStatus | NoResult] = dict(found.refused)
        if isinstance(member, NoResult):
            settled.update(dict.fromkeys(found.places, member))
            return Prepared(operation, (), (), (), settled)
        rows: list[int] = []
        for row, (key, place) in enumerate(zip(found.keys, found.places, strict=True)):
            slots = encoded.get(key, NoResult.late) if key in found.missing else None
            if isinstance(slots, NoResult):
                settled[place] = ItemStatus.cold if slots is NoResult.late else NoResult.failed
                continue
            if slots is not None:
                found.slots[row] = slots
            rows.append(row)
        slots_of_rows = found.slots if len(rows) == len(found.keys) else found.slots[rows]
        lengths = operation.batch_policy.split_evenly(len(rows))
        ends = np.cumsum(lengths).tolist()
        spans = [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
        return Prepared(
            operation,
            [Block(member, slots_of_rows[span]) for span in spans],
            lengths,
            [[found.places[row] for row in rows[span]] for span in spans],
            settled,
        )
