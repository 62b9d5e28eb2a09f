"""Candidates' texts and slots in this process's memory, bounded by bytes. Lost when the process ends."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from moka_py import Moka

from models.errors import NoRoom
from models.slots.codec import HEADER_BYTES, Slots, Usage
from service.store.codec import parts_of, stored_of
from service.store.interface import ENTRY_BYTES, Stored, memory_of


@dataclass(frozen=True, slots=True)
class _Entry:
    content: Stored | bytes
    expires: float
    bytes: int


class MemoryTextStore:
    """See `interface.TextStore`. `clock` gives seconds since the epoch."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.time, *, compress: bool = False) -> None:
        self._max_bytes = max_bytes
        self._compress = compress
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._bytes = 0
        self._lock = threading.Lock()
        self.damaged = 0

    def get_many(self, ids: Sequence[str]) -> list[Stored | None]:
        now = self._clock()
        found = map(self._entries.get, ids)
        return [_content(entry) if entry and entry.expires > now else None for entry in found]

    def put(self, entries: Mapping[str, Stored], ttl_s: float | None = None) -> None:
        now = self._clock()
        expires = float("inf") if ttl_s is None else now + ttl_s
        fresh = {name: self._entry(name, content, expires) for name, content in entries.items()}
        with self._lock:
            if self._growth(fresh) > self._max_bytes - self._bytes:
                self._drop_expired(now)
            if self._growth(fresh) > self._max_bytes - self._bytes:
                raise NoRoom("the store has no room for all entries")
            self._bytes += self._growth(fresh)
            self._entries.update(fresh)

    def _entry(self, name: str, content: Stored, expires: float) -> _Entry:
        if not self._compress:
            return _Entry(content, expires, memory_of(name, content))
        raw = zlib.compress(orjson.dumps(parts_of(content)), 6)
        return _Entry(raw, expires, memory_of(name, None) + len(raw))

    def pages(self, size: int) -> Iterator[list[tuple[str, Stored]]]:
        """See `interface.TextStore`. The ids are those at the beginning."""
        with self._lock:
            ids = list(self._entries)
        for start in range(0, len(ids), size):
            page = ids[start : start + size]
            found = zip(page, self.get_many(page), strict=True)
            yield [(name, content) for name, content in found if content is not None]

    def delete(self, candidate_id: str) -> bool:
        with self._lock:
            entry = self._entries.pop(candidate_id, None)
            if entry is None:
                return False
            self._bytes -= entry.bytes
        return entry.expires > self._clock()

    def sweep(self) -> int:
        with self._lock:
            return self._drop_expired(self._clock())

    def usage(self) -> Usage:
        return Usage(len(self._entries), self._bytes)

    def close(self) -> None:
        """Nothing to close."""

    def _growth(self, fresh: Mapping[str, _Entry]) -> int:
        replaced = (self._entries.get(name) for name in fresh)
        return sum(entry.bytes for entry in fresh.values()) - sum(entry.bytes for entry in replaced if entry)

    def _drop_expired(self, now: float) -> int:
        expired = [name for name, entry in self._entries.items() if entry.expires <= now]
        self._bytes -= sum(self._entries.pop(name).bytes for name in expired)
        return len(expired)


def _content(entry: _Entry) -> Stored:
    if not isinstance(entry.content, bytes):
        return entry.content
    return stored_of(orjson.loads(zlib.decompress(entry.content)))


class MemorySlotStore:
    """See `interface.SlotStore`. Keeps popular slots (TinyLFU): when full, it may reject a new entry.

    Slots of a retired model are no longer read, so they are evicted.
    """

    def __init__(self, max_bytes: int) -> None:
        self._cache: Moka[bytes, Slots] = Moka(max_bytes, weigher=_weight, policy="tiny_lfu")
        self.hits = self.misses = 0

    def get_many(self, keys: Sequence[bytes]) -> list[Slots | None]:
        get = self._cache.get
        found = [get(key) for key in keys]
        misses = sum(slots is None for slots in found)
        self.hits += len(found) - misses
        self.misses += misses
        return found

    def put_many(self, entries: Mapping[bytes, Slots]) -> None:
        for key, slots in entries.items():
            self._cache.set(key, _own(slots))

    def usage(self) -> Usage:
        self._cache.run_pending_tasks()  # without this both figures lag behind
        return Usage(self._cache.count(), self._cache.weighted_size())


def _weight(key: bytes, slots: Slots) -> int:
    return len(key) + slots.nbytes + ENTRY_BYTES


def _own(slots: Slots) -> Slots:
    """Read-only slots that keep no larger array alive."""
    base: object = slots.base
    if isinstance(base, bytes) and len(base) <= slots.nbytes + HEADER_BYTES:
        return slots
    own = np.array(slots)
    own.flags.writeable = False
    return own
