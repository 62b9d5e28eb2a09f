"""Idle-priority queue of candidates to encode: stored ones before a request, cold ones after their response.

Bounded: raises Overloaded with a retry delay when full. Call everything from the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from models.text import TokenIds
from service.batching.engine import EngineDead
from service.encoding.lookup import Lookup
from service.encoding.single_flight import SingleFlight
from service.encoding.tokenization import TokenizerThread
from service.errors import Overloaded
from service.registry.loading import LiveModel
from service.registry.operations import SplitOperations
from service.request import Item

# The deadline of background jobs is later than that of any request, so they are the least urgent.
BACKGROUND_DEADLINE_S = 3600.0
# A prediction for the whole queue gets this margin: between two short batches there is other work.
READY_MARGIN = 1.3
# Stored candidates are rendered and tokenised in groups of this size, so that the texts of requests come between.
GROUP_SIZE = 32


@dataclass(eq=False)
class BackgroundEncoder:
    """Token ids by key that wait to be encoded, oldest first. One short batch at a time is with the engine.

    `dropped(num)` is called for candidates that found the queue full; they are encoded when a request needs them.
    """

    flight: SingleFlight
    lookup: Lookup
    tokenizer: TokenizerThread
    max_candidates: int
    dropped: Callable[[int], None]
    _live: tuple[LiveModel, SplitOperations] | None = field(default=None, init=False)
    _waiting: dict[bytes, tuple[SplitOperations, TokenIds]] = field(default_factory=dict, init=False)
    _running: int = field(default=0, init=False)
    _added: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @property
    def unfinished(self) -> int:
        """Candidates that are not encoded yet: the waiting ones, and those with the engine."""
        return len(self._waiting) + self._running

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def room(self) -> int:
        return max(0, self.max_candidates - len(self._waiting))

    def use(self, model: LiveModel) -> None:
        """Encode for this model from now on; forget the candidates that wait for another."""
        self._live = (model, model.operations) if isinstance(model.operations, SplitOperations) else None
        self._waiting.clear()

    def check_room(self, num_candidates: int) -> None:
        """Raise Overloaded unless so many candidates may wait. Without a split model none ever waits."""
        if self._live is not None and num_candidates > self.room:
            model, operations = self._live
            unit_s = operations.background.batch_policy.unit_cost(model.encoder.longest_candidate)
            raise Overloaded(retry_after_s=(num_candidates - self.room) * unit_s)

    def ready_in_s(self) -> float:
        """Predicted seconds until all that waits now is encoded, if no request comes between."""
        now = time.monotonic()
        seconds = 0.0
        for operations, ids in self._waiting.values():
            policy = operations.background.batch_policy
            seconds += policy.unit_cost(len(ids)) * policy.correction.factor(now)
        return READY_MARGIN * seconds

    async def encode(self, candidates: Sequence[Item]) -> None:
        """Let candidates wait whose slots are not cached."""
        if (live := self._live) is None:
            return
        model, operations = live
        for start in range(0, len(candidates), GROUP_SIZE):
            group = candidates[start : start + GROUP_SIZE]
            find = partial(self.lookup.missing, model, operations.slots, group)
            missing = await self.tokenizer.run_in_background(find)
            if self._live is not live:  # swapped meanwhile
                return
            self.add(operations, missing)

    def add(self, operations: SplitOperations, texts: Mapping[bytes, TokenIds]) -> None:
        """Let texts wait, as many as there is room for."""
        num_dropped = 0
        for key, ids in texts.items():
            if self.room:
                self._waiting.setdefault(key, (operations, ids))
            else:
                num_dropped += 1
        if num_dropped:
            self.dropped(num_dropped)
        if self._waiting:
            self._added.set()

    def discard(self, keys: Iterable[bytes]) -> None:
        """Forget waiting texts that a request has encoded."""
        for key in keys:
            self._waiting.pop(key, None)

    async def run(self) -> None:
        """Encode waiting texts until cancelled; ends when the engine is dead."""
        while True:
            await self._added.wait()
            operations, texts = self._next_batch()
            if operations is None:
                self._added.clear()
                continue
            latest = time.monotonic() + BACKGROUND_DEADLINE_S
            self._running = len(texts)
            try:
                await self.flight.encode(operations.background, texts, arrived=latest, deadline=latest)
            except EngineDead:
                return
            finally:
                self._running = 0

    def _next_batch(self) -> tuple[SplitOperations | None, dict[bytes, TokenIds]]:
        """Remove the oldest waiting texts of one model, as many as one short batch holds."""
        texts: dict[bytes, TokenIds] = {}
        operations, longest = None, 0
        for key, (owner, ids) in self._waiting.items():
            operations, longest = operations or owner, max(longest, len(ids))
            if owner is not operations or (
                texts and len(texts) >= operations.background.batch_policy.max_items(longest)
            ):
                break
            texts[key] = ids
        for key in texts:
            del self._waiting[key]
        return operations, texts
