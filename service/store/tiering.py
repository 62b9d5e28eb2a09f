"""What stands between the service and a back end that may fail: a gate, and memory in front of slots.

A back end that is down costs its timeout once in a while, and not once a request. Knows no back end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from models.errors import NoRoom, StoreDown
from models.slots.codec import Slots, Usage
from service.store.interface import Content, KeptSlots, TextStore
from service.store.memory_store import MemorySlotStore

log = logging.getLogger("fitscore")
REST_S = 1.0
"""Seconds that a back end is left alone after it failed."""


class CircuitBreaker:
    """Whether a back end is up. `clock` is monotonic seconds; each going down and coming back is logged once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, rest_s: float = REST_S) -> None:
        self._clock = clock
        self._rest_s = rest_s
        self._again = 0.0
        self.up = True
        self.errors = 0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Surrounds a question to the back end. Raises StoreDown, without a question while it rests."""
        if not self.up and self._clock() < self._again:
            raise StoreDown("the store was down a moment ago")
        try:
            yield
        except StoreDown as error:
            self._fell(error)
            raise
        except NoRoom:
            self._answered()
            raise
        self._answered()

    def _fell(self, error: StoreDown) -> None:
        self.errors += 1
        self._again = self._clock() + self._rest_s
        if self.up:
            self.up = False
            log.error("candidate store down: %s", error)

    def _answered(self) -> None:
        if not self.up:
            self.up = True
            log.info("candidate store up again")


class GuardedTexts:
    """See `contract.TextStore`: a back end behind a gate."""

    def __init__(self, back: TextStore, gate: CircuitBreaker) -> None:
        self._back = back
        self._gate = gate

    @property
    def damaged(self) -> int:
        """See `contract.TextStore`."""
        return self._back.damaged

    def get_many(self, ids: Sequence[str]) -> list[Content | None]:
        """See `contract.TextStore`."""
        if not ids:
            return []
        with self._gate.asking():
            return self._back.get_many(ids)

    def put(self, entries: Mapping[str, Content], ttl_s: float | None = None) -> None:
        """See `contract.TextStore`."""
        with self._gate.asking():
            self._back.put(entries, ttl_s)

    def delete(self, candidate_id: str) -> bool:
        """See `contract.TextStore`."""
        with self._gate.asking():
            return self._back.delete(candidate_id)

    def sweep(self) -> int:
        """See `contract.TextStore`."""
        with self._gate.asking():
            return self._back.sweep()

    def usage(self) -> Usage:
        """See `contract.TextStore`."""
        return self._back.usage()

    def close(self) -> None:
        """See `contract.TextStore`."""
        self._back.close()


class TieredSlots:
    """See `contract.SlotStore`: memory over a back end. Never raises for what the back end cannot do."""

    def __init__(self, memory: MemorySlotStore, back: KeptSlots, gate: CircuitBreaker) -> None:
        self._memory = memory
        self._back = back
        self._gate = gate
        self._full = False
        self.hits = 0
        """Slots that the back end had and memory had not."""

    def get_many(self, keys: Sequence[bytes]) -> list[Slots | None]:
        """See `contract.SlotStore`."""
        found = self._memory.get_many(keys)
        missing = [place for place, slots in enumerate(found) if slots is None]
        kept: dict[bytes, Slots] = {}
        for place, slots in zip(missing, self._ask([keys[place] for place in missing]), strict=True):
            if slots is not None:
                found[place] = kept[keys[place]] = slots
        self._memory.put_many(kept)
        self.hits += len(kept)
        return found

    def _ask(self, keys: list[bytes]) -> list[Slots | None]:
        if not keys:
            return []
        try:
            with self._gate.asking():
                return self._back.get_many(keys)
        except StoreDown:
            return [None] * len(keys)

    def put_many(self, entries: Mapping[bytes, Slots]) -> None:
        """See `contract.SlotStore`."""
        self._memory.put_many(entries)
        try:
            with self._gate.asking():
                self._back.put_many(entries)
            self._full = False
        except StoreDown:
            pass  # the gate has told
        except NoRoom as error:
            if not self._full:
                self._full = True
                log.error("slots are encoded again and again: %s", error)

    def usage(self) -> Usage:
        """See `contract.SlotStore`: of the back end."""
        return self._back.usage()
