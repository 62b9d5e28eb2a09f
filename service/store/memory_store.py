"""Both sides of the store in this process's own memory, bounded by bytes. Gone when the process ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from moka_py import Moka

from models.errors import NoRoom
from models.slots.codec import HEADER_BYTES, Slots, Usage
from service.store.interface import Content

ENTRY_BYTES = 200
"""What an entry costs beside its content: key, dictionary slot, object headers."""


@dataclass(frozen=True, slots=True)
class _Kept:
    content: Content
    expires: float | None
    bytes: int


class MemoryTextStore:
    """See `contract.TextStore`. `clock` gives seconds since the epoch."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: dict[str, _Kept] = {}
        self._bytes = 0
        self._lock = threading.Lock()
        self.damaged = 0

    def get_many(self, ids: Sequence[str]) -> list[Content | None]:
        """See `contract.TextStore`."""
        now = self._clock()
        found = (self._entries.get(each) for each in ids)
        return [None if kept is None or _expired(kept, now) else kept.content for kept in found]

    def put(self, entries: Mapping[str, Content], ttl_s: float | None = None) -> None:
        """See `contract.TextStore`."""
        now = self._clock()
        expires = None if ttl_s is None else now + ttl_s
        fresh = {name: _Kept(content, expires, size_of(name, content)) for name, content in entries.items()}
        with self._lock:
            if self._growth(fresh) > self._max_bytes - self._bytes:
                self._drop_expired(now)
            if self._growth(fresh) > self._max_bytes - self._bytes:
                raise NoRoom("the store has no room for all of these")
            self._bytes += self._growth(fresh)
            self._entries.update(fresh)

    def delete(self, candidate_id: str) -> bool:
        """See `contract.TextStore`."""
        with self._lock:
            kept = self._entries.pop(candidate_id, None)
            if kept is None:
                return False
            self._bytes -= kept.bytes
        return not _expired(kept, self._clock())

    def sweep(self) -> int:
        """See `contract.TextStore`."""
        with self._lock:
            return self._drop_expired(self._clock())

    def usage(self) -> Usage:
        """See `contract.TextStore`."""
        return Usage(len(self._entries), self._bytes)

    def close(self) -> None:
        """Nothing is kept."""

    def _growth(self, fresh: Mapping[str, _Kept]) -> int:
        replaced = (self._entries.get(name) for name in fresh)
        return sum(kept.bytes for kept in fresh.values()) - sum(kept.bytes for kept in replaced if kept is not None)

    def _drop_expired(self, now: float) -> int:
        expired = [name for name, kept in self._entries.items() if _expired(kept, now)]
        self._bytes -= sum(self._entries.pop(name).bytes for name in expired)
        return len(expired)


def _expired(kept: _Kept, now: float) -> bool:
    return kept.expires is not None and kept.expires <= now


def size_of(name: str, content: Content) -> int:
    """Bytes that a candidate takes in memory, about."""
    texts = [content] if isinstance(content, str) else [str(value) for pair in content.items() for value in pair]
    return ENTRY_BYTES + len(name) + sum(map(len, texts))


class MemorySlotStore:
    """See `contract.SlotStore`. Keeps what is asked for often (TinyLFU): when full, a newcomer may not be let in.

    Slots of a model that is no more are asked for by nobody, and so make room by themselves.
    """

    def __init__(self, max_bytes: int) -> None:
        self._cache: Moka[bytes, Slots] = Moka(max_bytes, weigher=_weight, policy="tiny_lfu")
        self.hits = self.misses = 0

    def get_many(self, keys: Sequence[bytes]) -> list[Slots | None]:
        """See `contract.SlotStore`."""
        get = self._cache.get
        found = [get(key) for key in keys]
        misses = sum(slots is None for slots in found)
        self.hits += len(found) - misses
        self.misses += misses
        return found

    def put_many(self, entries: Mapping[bytes, Slots]) -> None:
        """See `contract.SlotStore`."""
        for key, slots in entries.items():
            self._cache.set(key, _own(slots))

    def usage(self) -> Usage:
        """See `contract.SlotStore`."""
        self._cache.run_pending_tasks()  # else both figures lag behind
        return Usage(self._cache.count(), self._cache.weighted_size())


def _weight(key: bytes, slots: Slots) -> int:
    return len(key) + slots.nbytes + ENTRY_BYTES


def _own(slots: Slots) -> Slots:
    """Slots that keep no larger array alive, and that no reader can change."""
    base: object = slots.base
    if isinstance(base, bytes) and len(base) <= slots.nbytes + HEADER_BYTES:
        return slots
    own = np.array(slots)
    own.flags.writeable = False
    return own
