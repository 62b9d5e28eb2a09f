"""Both sides of the store in a Redis server that several replicas share.

Entries are what the embedded store writes. Redis lets expired texts go by itself; the time in the entry decides all
the same, so that a reader's clock and not the server's counts. When the server may keep no more (`maxmemory` with
`noeviction`), a put is refused as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.errors import DamagedEntry, NoRoom, StoreDown
from models.slots.codec import MODEL_KEY_BYTES, Slots, Usage
from models.slots.codec import pack as pack_slots
from models.slots.codec import unpack as unpack_slots
from service.store.codec import NEVER, RecordReader, StoredRecord, expires_ms, key_of, pack
from service.store.interface import Content

TEXTS, SLOTS = b"fitscore:t:", b"fitscore:s:"
_AT_ONCE = 1000


def connect(url: str, timeout_s: float) -> redis.Redis:
    """A client that tries once and waits no longer than `timeout_s`; the URL may state other timeouts in its query."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except (redis.exceptions.OutOfMemoryError, redis.exceptions.ExecAbortError) as error:
        raise NoRoom("the store has no room for all of these") from error
    except (redis.exceptions.RedisError, OSError) as error:
        raise StoreDown(f"Redis cannot be asked ({type(error).__name__})") from error


class _Counted:
    """How much the server holds, as it was when it was last asked: a reader of figures must not wait for a network."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._usage = Usage(0, 0)

    def ask(self) -> None:
        self._usage = Usage(int(self._client.dbsize()), int(self._client.info("memory")["used_memory"]))

    def usage(self) -> Usage:
        return self._usage


class RedisTextStore:
    """See `contract.TextStore`. `clock` gives seconds since the epoch. `usage` is the server's, at the last sweep."""

    def __init__(self, client: redis.Redis, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._clock = clock
        self._counted = _Counted(client)
        self._entries = RecordReader()

    @property
    def damaged(self) -> int:
        """Entries that were read and were not what had been written."""
        return self._entries.damaged

    def get_many(self, ids: Sequence[str]) -> list[Content | None]:
        """See `contract.TextStore`."""
        now = self._clock()
        with _asking():
            stored = _values(self._client, [_text_key(each) for each in ids])
        return [self._entries.live_content(each, one, now) for each, one in zip(ids, stored, strict=True)]

    def put(self, entries: Mapping[str, Content], ttl_s: float | None = None) -> None:
        """See `contract.TextStore`. One MULTI, so that all are there at once or none is."""
        expires = expires_ms(self._clock(), ttl_s)
        with _asking(), self._client.pipeline(transaction=True) as pipeline:
            for each, content in entries.items():
                stored = pack(StoredRecord(each, content, expires))
                pipeline.set(_text_key(each), stored, pxat=None if expires == NEVER else expires)
            pipeline.execute()

    def delete(self, candidate_id: str) -> bool:
        """See `contract.TextStore`."""
        with _asking():
            stored = cast("bytes | None", self._client.getdel(_text_key(candidate_id)))
        entry = self._entries.read(stored)
        return entry is not None and entry.live(self._clock())

    def sweep(self) -> int:
        """Redis does it by itself; only the figures are asked for."""
        with _asking():
            self._counted.ask()
        return 0

    def usage(self) -> Usage:
        """See `contract.TextStore`."""
        return self._counted.usage()

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()


class RedisSlotStore:
    """See `contract.KeptSlots`. `usage` is counted with the texts."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.damaged = 0
        """Entries that were read and were not what had been written."""

    def get_many(self, keys: Sequence[bytes]) -> list[Slots | None]:
        """See `contract.SlotStore`. Raises StoreDown."""
        with _asking():
            stored = _values(self._client, [_slots_key(key) for key in keys])
        return [None if one is None else self._sound(key, one) for key, one in zip(keys, stored, strict=True)]

    def _sound(self, key: bytes, stored: bytes) -> Slots | None:
        try:
            return unpack_slots(key, stored)
        except DamagedEntry:
            self.damaged += 1
            return None

    def put_many(self, entries: Mapping[bytes, Slots]) -> None:
        """See `contract.SlotStore`. Raises NoRoom or StoreDown."""
        if not entries:
            return
        with _asking():
            self._client.mset({_slots_key(key): pack_slots(key, slots) for key, slots in entries.items()})

    def keep_only(self, models: Collection[bytes]) -> int:
        """See `contract.KeptSlots`."""
        kept = {model.hex().encode() for model in models}
        dropped = 0
        with _asking():
            found = self._client.scan_iter(match=SLOTS + b"*", count=_AT_ONCE)
            for key in cast("Iterator[bytes]", found):
                if key[len(SLOTS) :][: 2 * MODEL_KEY_BYTES] not in kept:
                    dropped += self._client.unlink(key)
        return dropped

    def usage(self) -> Usage:
        """Nothing of its own."""
        return Usage(0, 0)

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()


def _values(client: redis.Redis, keys: list[bytes]) -> list[bytes | None]:
    return cast("list[bytes | None]", client.mget(keys)) if keys else []


def _text_key(candidate_id: str) -> bytes:
    return TEXTS + key_of(candidate_id).hex().encode()


def _slots_key(key: bytes) -> bytes:
    return SLOTS + key.hex().encode()
