"""Candidates to encode while nothing else is to do: stored ones before anybody asks, cold ones after their answer.

Bounded, so that whoever fills it hears to come back. Call everything from the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping

from models.text import TokenIds
from service.batching.engine import EngineDead
from service.encoding.single_flight import SingleFlight
from service.registry.operations import SplitOperations

# As a deadline it is later than any caller's, so that such work is always the least urgent.
LEISURE_S = 3600.0


class BackgroundFull(Exception):
    """So many candidates can't wait now; come back after `retry_after_s`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"come back in {retry_after_s:.3f} s")
        self.retry_after_s = retry_after_s


class BackgroundEncoder:
    """Token ids by key that wait to be encoded, oldest first: one short batch at a time is with the engine."""

    def __init__(self, encoding: SingleFlight, *, max_candidates: int) -> None:
        self._encoding = encoding
        self._max_candidates = max_candidates
        self._waiting: dict[bytes, tuple[SplitOperations, TokenIds]] = {}
        self._under_way = 0
        self._some = asyncio.Event()

    @property
    def unfinished(self) -> int:
        """How many are not encoded yet: those that wait, and those that are with the engine."""
        return len(self) + self._under_way

    @property
    def room(self) -> int:
        """How many more may wait."""
        return max(0, self._max_candidates - len(self))

    def __len__(self) -> int:
        return len(self._waiting)

    def check_place(self, candidates: int, share_s: float) -> None:
        """Raise NoPlace unless so many more may wait; each of them takes the model `share_s`."""
        if candidates > self.room:
            raise BackgroundFull((candidates - self.room) * share_s)

    def add(self, operations: SplitOperations, texts: Mapping[bytes, TokenIds]) -> int:
        """Let texts wait; returns for how many there was no place. Those are encoded when they are asked for."""
        dropped = 0
        for key, ids in texts.items():
            if self.room:
                self._waiting.setdefault(key, (operations, ids))
            else:
                dropped += 1
        if self._waiting:
            self._some.set()
        return dropped

    def discard(self, keys: Iterable[bytes]) -> None:
        """These have been encoded meanwhile."""
        for key in keys:
            self._waiting.pop(key, None)

    def clear(self) -> None:
        """Forget what waits: another model is live."""
        self._waiting.clear()

    async def run(self) -> None:
        """Encode what waits, for ever; ends when the engine is dead."""
        while True:
            await self._some.wait()
            operations, texts = self._next()
            if operations is None:
                self._some.clear()
                continue
            whenever = time.monotonic() + LEISURE_S
            self._under_way = len(texts)
            try:
                await self._encoding.encode(operations.background, texts, arrived=whenever, deadline=whenever)
            except EngineDead:
                return
            finally:
                self._under_way = 0

    def _next(self) -> tuple[SplitOperations | None, dict[bytes, TokenIds]]:
        """The oldest that wait, as many as one short batch takes."""
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
