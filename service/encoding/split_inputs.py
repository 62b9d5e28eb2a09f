"""Preparing an order for a split model: look up, encode what is not known while time allows, cut blocks.

Knows nothing of HTTP, nor of how the scores become an answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from models.scorers.split import Block, MemberState
from models.slots.codec import Slots
from models.text import TokenIds
from service.batching.engine import Engine
from service.batching.jobs import NoResult
from service.encoding.background import BackgroundEncoder
from service.encoding.lookup import Lookup, LookupResult, MemberCache
from service.encoding.single_flight import Encoded, SingleFlight
from service.encoding.tokenization import Prepared
from service.observability.metrics import Metrics
from service.observability.timings import Timings
from service.registry.loading import LiveModel
from service.registry.operations import SplitOperations
from service.request import Item, ItemStatus, ScoringRequest
from service.store.interface import SlotStore

# Of the time that an order has left, what encoding may plan to take: predictions err.
ENCODE_SHARE = 0.8
# Scoring gets so many times its predicted seconds before the deadline, since it may have to wait for a batch.
SCORE_ROOM = 2.0
# Stored candidates are rendered and tokenised so many at a time.
AHEAD_TEXTS = 32
NOTHING = Encoded({}, 0.0)


@dataclass(frozen=True, slots=True)
class EncodePlan:
    """Token ids of the candidates to encode by a deadline, and the keys of those that there is no time for."""

    now: dict[bytes, TokenIds]
    deadline: float
    later: dict[bytes, TokenIds]


class SplitInputs:
    """Prepares orders for models that compute members and candidates apart."""

    def __init__(
        self,
        engine: Engine,
        lookup: Lookup,
        members: MemberCache,
        slots: SlotStore,
        metrics: Metrics,
        *,
        max_ahead: int,
    ) -> None:
        self._engine = engine
        self._lookup = lookup
        self._states = members
        self._slots = slots
        self._metrics = metrics
        self._members = SingleFlight(engine, self._keep_states)
        self._candidates = SingleFlight(engine, self._keep_slots)
        self.ahead = BackgroundEncoder(SingleFlight(engine, self._keep_slots), max_candidates=max_ahead)
        self._store_thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    def look_up(self, model: LiveModel, operations: SplitOperations, order: ScoringRequest) -> LookupResult:
        """What is known of an order; for the tokenizer's thread. Raises EmptyMember."""
        return self._lookup.find(model, operations.shape, order.member, order.candidates)

    async def prepare(
        self,
        operations: SplitOperations,
        found: LookupResult,
        deadline: float,
        timings: Timings,
        priority_penalty_s: float = 0.0,
    ) -> Prepared:
        """Blocks of the candidates whose slots are known in time. Raises EngineDead."""
        misses = sum(key in found.missing for key in found.keys)
        member_hit = isinstance(found.member, MemberState)
        self._metrics.looked_up(hits=len(found.keys) - misses, misses=misses, member_hit=member_hit)
        if found.store_failed:
            self._metrics.store_failed("get")
        plan = self._plan(operations, found, deadline)
        member, encoded = await self._encode(operations, found, plan, deadline, priority_penalty_s)
        timings.lap("encode")
        timings.split("encode", "model", encoded.model_s)
        self.ahead.discard(encoded.results)
        self._encode_later(operations, {**plan.later, **plan.now}, encoded.results)
        return _blocks(operations, found, member, encoded.results)

    def _plan(self, operations: SplitOperations, found: LookupResult, deadline: float) -> EncodePlan:
        """As many of the missing candidates, in the order asked for, as can be encoded and scored in time."""
        score_s = operations.scores.batch_policy.total_cost(
            operations.scores.batch_policy.split_evenly(len(found.keys))
        )
        now = time.monotonic()
        latest = deadline - SCORE_ROOM * score_s * operations.scores.batch_policy.correction.factor(now)
        left_s = ENCODE_SHARE * (latest - now) - self._engine.queued_seconds()
        pace = operations.candidates.batch_policy.correction.factor(now)
        plan = EncodePlan({}, latest, {})
        for key, ids in found.missing.items():
            left_s -= operations.candidates.batch_policy.unit_cost(len(ids)) * pace
            (plan.now if left_s >= 0 else plan.later)[key] = ids
        return plan

    async def _encode(
        self,
        operations: SplitOperations,
        found: LookupResult,
        plan: EncodePlan,
        deadline: float,
        priority_penalty_s: float,
    ) -> tuple[MemberState | NoResult, Encoded]:
        """The member's state and the slots of what was planned, side by side."""
        arrived = time.monotonic()
        missing = partial(
            self._candidates.encode, operations.candidates, plan.now,
            arrived=arrived, deadline=plan.deadline, priority_penalty_s=priority_penalty_s,
        )  # fmt: skip
        if isinstance(found.member, MemberState):
            return found.member, await missing()
        member = self._members.encode(
            operations.members,
            {found.member_key: found.member},
            arrived=arrived,
            deadline=deadline,
            priority_penalty_s=priority_penalty_s,
        )
        if plan.now:
            async with asyncio.TaskGroup() as group:
                both = group.create_task(member), group.create_task(missing())
            read, encoded = (each.result() for each in both)
        else:
            read, encoded = await member, NOTHING
        state = read.results.get(found.member_key, NoResult.late)
        return state, Encoded(encoded.results, read.model_s + encoded.model_s)

    def _encode_later(
        self, operations: SplitOperations, wanted: Mapping[bytes, TokenIds], done: Container[bytes] = frozenset()
    ) -> None:
        left = {key: ids for key, ids in wanted.items() if key not in done}
        self._metrics.background_full(self.ahead.add(operations, left))

    async def encode_ahead(
        self, model: LiveModel, operations: SplitOperations, candidates: Sequence[Item], thread: ThreadPoolExecutor
    ) -> None:
        """Let candidates that are not known wait to be encoded while nothing else is to do."""
        loop = asyncio.get_running_loop()
        # A few at a time, so that requests' own texts need not wait for all of them.
        for start in range(0, len(candidates), AHEAD_TEXTS):
            some = candidates[start : start + AHEAD_TEXTS]
            missing = await loop.run_in_executor(thread, self._lookup.missing, model, operations.shape, some)
            self._encode_later(operations, missing)

    async def _keep_states(self, states: Mapping[bytes, MemberState]) -> None:
        for key, state in states.items():
            self._states.put(key, state)

    async def _keep_slots(self, slots: Mapping[bytes, Slots]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._store_thread, self._slots.put_many, slots)
        except Exception:  # Whatever a store raises: it is a cache, and what was asked for has been computed.
            self._metrics.store_failed("put")

    def close(self) -> None:
        """End the store's thread: what it is writing is written, for a store must not be closed under it."""
        self._store_thread.shutdown(wait=True, cancel_futures=True)


def _blocks(
    operations: SplitOperations,
    found: LookupResult,
    member: MemberState | NoResult,
    encoded: Mapping[bytes, Slots | NoResult],
) -> Prepared:
    """Blocks of all candidates that have slots; a status for each of the others."""
    settled: dict[int, ItemStatus | NoResult] = dict(found.refused)
    if isinstance(member, NoResult):
        settled.update(dict.fromkeys(found.places, member))
        return Prepared(operations.scores, (), (), (), settled)
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
    lengths = operations.scores.batch_policy.split_evenly(len(rows))
    ends = np.cumsum(lengths).tolist()
    spans = [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
    return Prepared(
        operations.scores,
        [Block(member, slots_of_rows[span]) for span in spans],
        lengths,
        [[found.places[row] for row in rows[span]] for span in spans],
        settled,
    )
