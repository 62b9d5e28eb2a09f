"""Candidates' texts and slots in a Redis server that several replicas share.

Entries have the format of the LMDB store. Redis deletes expired texts by itself; the expiry in the entry still decides,
so that the reader's clock counts and not the server's. A server at its limit (`maxmemory` with `noeviction`) refuses a
put as a whole.
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
from service.store.codec import NEVER, RecordReader, StoredRecord, expires_ms, key_of, live_entries, pack
from service.store.interface import Stored

TEXTS, SLOTS, KEPT = b"fitscore:t:", b"fitscore:s:", b"fitscore:k:"
_SCAN_BATCH = 1000


def connect(url: str, timeout_s: float) -> redis.Redis:
    """A client that tries once and waits at most `timeout_s`; the URL's query may state other timeouts."""
    return redis.Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
    )


@contextmanager
def _store_errors() -> Iterator[None]:
    """Turns the client's errors into NoRoom and StoreDown."""
    try:
        yield
    except (redis.exceptions.OutOfMemoryError, redis.exceptions.ExecAbortError) as error:
        raise NoRoom("the store has no room for all entries") from error
    except (redis.exceptions.RedisError, OSError) as error:
        raise StoreDown(f"Redis does not answer ({type(error).__name__})") from error


class RedisTextStore:
    """See `interface.TextStore`. `clock` gives seconds since the epoch. `usage` is the server's, at the last sweep."""

    def __init__(
        self,
        client: redis.Redis,
        clock: Callable[[], float] = time.time,
        *,
        prefix: bytes = TEXTS,
        compress: bool = False,
    ) -> None:
        self._prefix = prefix
        self._compress = compress
        self._client = client
        self._clock = clock
        self._usage = Usage(0, 0)
        self._reader = RecordReader(clock)

    @property
    def damaged(self) -> int:
        return self._reader.damaged

    def get_many(self, ids: Sequence[str]) -> list[Stored | None]:
        with _store_errors():
            stored = _values(self._client, [self._key(each) for each in ids])
        return self._reader.contents(ids, stored)

    def put(self, entries: Mapping[str, Stored], ttl_s: float | None = None) -> None:
        """See `interface.TextStore`. One MULTI stores all entries or none."""
        expires = expires_ms(self._clock(), ttl_s)
        with _store_errors(), self._client.pipeline(transaction=True) as pipeline:
            for each, content in entries.items():
                stored = pack(StoredRecord(each, content, expires), compress=self._compress)
                pipeline.set(self._key(each), stored, pxat=None if expires == NEVER else expires)
            pipeline.execute()

    def delete(self, candidate_id: str) -> bool:
        with _store_errors():
            stored = cast("bytes | None", self._client.getdel(self._key(candidate_id)))
        return self._reader.is_live(self._reader.read(stored))

    def _key(self, candidate_id: str) -> bytes:
        return self._prefix + key_of(candidate_id).hex().encode()

    def pages(self, size: int) -> Iterator[list[tuple[str, Stored]]]:
        """See `interface.TextStore`. Redis may return an entry twice."""
        place = 0
        while True:
            with _store_errors():
                place, keys = cast(
                    "tuple[int, list[bytes]]", self._client.scan(place, match=self._prefix + b"*", count=size)
                )
                stored = _values(self._client, keys)
            yield live_entries(self._reader, stored)
            if not place:
                return

    def sweep(self) -> int:
        """Redis deletes expired entries itself. Only reads the usage, so that `usage` never waits for the network."""
        with _store_errors():
            self._usage = Usage(int(self._client.dbsize()), int(self._client.info("memory")["used_memory"]))
        return 0

    def usage(self) -> Usage:
        return self._usage

    def close(self) -> None:
        self._client.close()


class RedisSlotStore:
    """See `interface.DurableSlotStore`. Its usage is counted with the texts."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.damaged = 0

    def get_many(self, keys: Sequence[bytes]) -> list[Slots | None]:
        with _store_errors():
            stored = _values(self._client, [_slots_key(key) for key in keys])
        return [None if one is None else self._read(key, one) for key, one in zip(keys, stored, strict=True)]

    def _read(self, key: bytes, stored: bytes) -> Slots | None:
        try:
            return unpack_slots(key, stored)
        except DamagedEntry:
            self.damaged += 1
            return None

    def put_many(self, entries: Mapping[bytes, Slots]) -> None:
        if not entries:
            return
        with _store_errors():
            self._client.mset({_slots_key(key): pack_slots(key, slots) for key, slots in entries.items()})

    def keep_only(self, models: Collection[bytes]) -> int:
        kept = {model.hex().encode() for model in models}
        dropped = 0
        with _store_errors():
            found = self._client.scan_iter(match=SLOTS + b"*", count=_SCAN_BATCH)
            for key in cast("Iterator[bytes]", found):
                if key[len(SLOTS) :][: 2 * MODEL_KEY_BYTES] not in kept:
                    dropped += self._client.unlink(key)
        return dropped

    def usage(self) -> Usage:
        return Usage(0, 0)

    def close(self) -> None:
        self._client.close()


def _values(client: redis.Redis, keys: list[bytes]) -> list[bytes | None]:
    return cast("list[bytes | None]", client.mget(keys)) if keys else []


def _slots_key(key: bytes) -> bytes:
    return SLOTS + key.hex().encode()
