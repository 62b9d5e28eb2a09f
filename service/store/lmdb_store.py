"""Candidates' texts in a folder: one LMDB file, shared by the processes of one machine. Survives kill -9.

A second database indexes entries by expiry, so that a sweep touches expired entries only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import lmdb

from models.errors import NoRoom
from models.slots.codec import Usage
from models.slots.lmdb_environment import open_environment
from service.store.codec import NEVER, RecordReader, StoredRecord, expires_ms, key_of, live_entries, pack
from service.store.interface import Stored

FORM = "fitscore-texts-1"
_SWEEP_BATCH = 1000
"""Entries that one transaction of a sweep deletes: a put waits for it."""
_EXPIRY_BYTES = 8
_INDEX_BYTES = 64
"""Bytes of an entry beside its content: its keys in two trees."""


class LmdbTextStore:
    """See `interface.TextStore`. `clock` gives seconds since the epoch."""

    def __init__(
        self, folder: Path, max_bytes: int, clock: Callable[[], float] = time.time, *, compress: bool = False
    ) -> None:
        self._compress = compress
        self._environment = open_environment(folder, form=FORM, databases=["texts", "expiry"], max_bytes=max_bytes)
        self._texts, self._expiry = self._environment.databases
        self._clock = clock
        self._reader = RecordReader(clock)

    @property
    def damaged(self) -> int:
        return self._reader.damaged

    def get_many(self, ids: Sequence[str]) -> list[Stored | None]:
        with self._environment.reading() as txn:
            stored = [txn.get(key_of(each), db=self._texts) for each in ids]
            copies = [None if one is None else bytes(one) for one in stored]
        return self._reader.contents(ids, copies)

    def put(self, entries: Mapping[str, Stored], ttl_s: float | None = None) -> None:
        expires = expires_ms(self._clock(), ttl_s)
        try:
            self._put(entries, expires)
        except NoRoom:
            if not self.sweep():
                raise
            self._put(entries, expires)

    def _put(self, entries: Mapping[str, Stored], expires: int) -> None:
        packed = {
            key_of(each): pack(StoredRecord(each, content, expires), compress=self._compress)
            for each, content in entries.items()
        }
        with self._environment.writing() as txn:
            self._environment.check_room(txn, [len(stored) + _INDEX_BYTES for stored in packed.values()])
            for key, stored in sorted(packed.items()):
                self._drop(txn, key)
                txn.put(key, stored, db=self._texts)
                if expires != NEVER:
                    txn.put(_expiry_key(expires) + key, b"", db=self._expiry)

    def _drop(self, txn: lmdb.Transaction[bytes], key: bytes) -> StoredRecord | None:
        """Delete an entry and its place in the index; returns its record unless it was damaged."""
        record = self._reader.read(txn.pop(key, db=self._texts))
        if record is not None and record.expires_ms != NEVER:
            txn.delete(_expiry_key(record.expires_ms) + key, db=self._expiry)
        return record

    def delete(self, candidate_id: str) -> bool:
        with self._environment.writing() as txn:
            record = self._drop(txn, key_of(candidate_id))
        return self._reader.is_live(record)

    def pages(self, size: int) -> Iterator[list[tuple[str, Stored]]]:
        """See `interface.TextStore`. One short transaction for each page, in the order of the keys."""
        first = b"\0"
        while True:
            with self._environment.reading() as txn:
                cursor = txn.cursor(self._texts)
                found = cursor.set_range(first)
                page: list[tuple[bytes, bytes]] = []
                while found and len(page) < size:
                    page.append((bytes(cursor.key()), bytes(cursor.value())))
                    found = cursor.next()
            if not page:
                return
            first = page[-1][0] + b"\0"
            yield live_entries(self._reader, (stored for _, stored in page))

    def sweep(self) -> int:
        end, swept = _expiry_key(int(self._clock() * 1000) + 1), 0
        while expired := self._expired(end):
            with self._environment.writing() as txn:
                swept += sum(self._sweep_one(txn, place) for place in expired)
        return swept

    def _sweep_one(self, txn: lmdb.Transaction[bytes], place: bytes) -> bool:
        key = place[_EXPIRY_BYTES:]
        txn.delete(place, db=self._expiry)
        # A put over a damaged entry leaves the old entry's place in the index: the key may hold a live entry.
        record = self._reader.read(txn.get(key, db=self._texts))
        return not self._reader.is_live(record) and txn.delete(key, db=self._texts)

    def _expired(self, end: bytes) -> list[bytes]:
        with self._environment.reading() as txn:
            found: list[bytes] = []
            for place in txn.cursor(self._expiry).iternext(keys=True, values=False):
                if bytes(place[:_EXPIRY_BYTES]) >= end or len(found) == _SWEEP_BATCH:
                    break
                found.append(bytes(place))
            return found

    def usage(self) -> Usage:
        """See `interface.TextStore`. Bytes of the pages in use."""
        return Usage(*self._environment.usage())

    def close(self) -> None:
        self._environment.close()


def _expiry_key(milliseconds: int) -> bytes:
    """Keys sort by time."""
    return milliseconds.to_bytes(_EXPIRY_BYTES, "big")
