"""Protection from a back end that fails: a circuit breaker, and memory in front of slots.

While a back end is down, its timeout is paid about once a second and not once a request. Knows no back end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from models.errors import NoRoom, StoreDown
from models.slots.codec import Slots, Usage
from service.store.interface import DurableSlotStore, Stored, TextStore
from service.store.memory_store import MemorySlotStore

log = logging.getLogger("fitscore")
OPEN_S = 1.0
"""Seconds that the breaker stays open after a failure."""


class CircuitBreaker:
    """Whether a back end is up. `clock` is monotonic seconds. Logs each outage once, and each recovery once."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, open_s: float = OPEN_S, what: str = "candidate store"
    ) -> None:
        self._what = what
        self._clock = clock
        self._open_s = open_s
        self._retry_at = 0.0
        self.up = True
        self.errors = 0

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Wraps a call to the back end. Raises StoreDown, without the call while the breaker is open."""
        self.check()
        try:
            yield
        except StoreDown as error:
            self._failed(error)
            raise
        except NoRoom:
            self._succeeded()
            raise
        self._succeeded()

    def check(self) -> None:
        """Raise StoreDown while the breaker is open."""
        if not self.up and self._clock() < self._retry_at:
            raise StoreDown("the store was down a moment ago")

    def _failed(self, error: StoreDown) -> None:
        self.errors += 1
        self._retry_at = self._clock() + self._open_s
        if self.up:
            self.up = False
            log.error("%s down: %s", self._what, error)

    def _succeeded(self) -> None:
        if not self.up:
            self.up = True
            log.info("%s up again", self._what)


class Breakers:
    """A circuit breaker for reads and one for writes: a failed write stops writes only, a failed read stops both."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, open_s: float = OPEN_S) -> None:
        self.reads = CircuitBreaker(clock, open_s)
        self.writes = CircuitBreaker(clock, open_s, what="writing to the candidate store is")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Wraps a write to the back end. Raises StoreDown."""
        self.reads.check()
        with self.writes.guard():
            yield

    @property
    def up(self) -> bool:
        return self.reads.up and self.writes.up

    @property
    def errors(self) -> int:
        return self.reads.errors + self.writes.errors


class GuardedTexts:
    """See `interface.TextStore`: a back end behind circuit breakers."""

    def __init__(self, back: TextStore, breakers: Breakers) -> None:
        self._back = back
        self._breakers = breakers

    @property
    def damaged(self) -> int:
        return self._back.damaged

    def get_many(self, ids: Sequence[str]) -> list[Stored | None]:
        if not ids:
            return []
        with self._breakers.reads.guard():
            return self._back.get_many(ids)

    def put(self, entries: Mapping[str, Stored], ttl_s: float | None = None) -> None:
        with self._breakers.writing():
            self._back.put(entries, ttl_s)

    def delete(self, candidate_id: str) -> bool:
        with self._breakers.writing():
            return self._back.delete(candidate_id)

    def pages(self, size: int) -> Iterator[list[tuple[str, Stored]]]:
        pages = self._back.pages(size)
        while True:
            with self._breakers.reads.guard():
                page = next(pages, None)
            if page is None:
                return
            yield page

    def sweep(self) -> int:
        with self._breakers.writing():
            return self._back.sweep()

    def usage(self) -> Usage:
        return self._back.usage()

    def close(self) -> None:
        self._back.close()


class TieredSlots:
    """See `interface.SlotStore`: memory in front of a back end. Never raises for a failure of the back end."""

    def __init__(self, memory: MemorySlotStore, back: DurableSlotStore, breakers: Breakers) -> None:
        self._memory = memory
        self._back = back
        self._breakers = breakers
        self._full = False
        self.hits = 0
        """Slots that the back end had and memory did not."""

    def get_many(self, keys: Sequence[bytes]) -> list[Slots | None]:
        found = self._memory.get_many(keys)
        missing = [place for place, slots in enumerate(found) if slots is None]
        kept: dict[bytes, Slots] = {}
        for place, slots in zip(missing, self._read([keys[place] for place in missing]), strict=True):
            if slots is not None:
                found[place] = kept[keys[place]] = slots
        self._memory.put_many(kept)
        self.hits += len(kept)
        return found

    def _read(self, keys: list[bytes]) -> list[Slots | None]:
        if not keys:
            return []
        try:
            with self._breakers.reads.guard():
                return self._back.get_many(keys)
        except StoreDown:
            return [None] * len(keys)

    def put_many(self, entries: Mapping[bytes, Slots]) -> None:
        self._memory.put_many(entries)
        try:
            with self._breakers.writing():
                self._back.put_many(entries)
            self._full = False
        except StoreDown:
            pass  # the breaker has logged it
        except NoRoom as error:
            if not self._full:
                self._full = True
                log.error("the slot store is full, so slots are encoded repeatedly: %s", error)

    def usage(self) -> Usage:
        return self._back.usage()
