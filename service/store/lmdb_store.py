"""Candidates' texts in a folder: one LMDB file, shared by the processes of one machine. Survives kill -9.

Beside the entries stands an index by time, so that a sweep touches only what has expired.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import lmdb

from models.errors import NoRoom
from models.slots.codec import Usage
from models.slots.lmdb_environment import open_environment
from service.store.codec import NEVER, RecordReader, StoredRecord, expires_ms, key_of, pack
from service.store.interface import Content

FORM = "fitscore-texts-1"
_AT_ONCE = 1000
"""Entries swept in one transaction: a put waits for it."""
_MOMENT_BYTES = 8
_INDEX_BYTES = 64
"""What an entry costs beside its content: keys and places in two trees."""


class LmdbTextStore:
    """See `contract.TextStore`. `clock` gives seconds since the epoch."""

    def __init__(self, folder: Path, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._environment = open_environment(folder, form=FORM, databases=["texts", "expiry"], max_bytes=max_bytes)
        self._texts, self._expiry = self._environment.databases
        self._clock = clock
        self._entries = RecordReader()

    @property
    def damaged(self) -> int:
        """Entries that were read and were not what had been written."""
        return self._entries.damaged

    def get_many(self, ids: Sequence[str]) -> list[Content | None]:
        """See `contract.TextStore`."""
        now = self._clock()
        with self._environment.reading() as txn:
            stored = [txn.get(key_of(each), db=self._texts) for each in ids]
            copies = [None if one is None else bytes(one) for one in stored]
        return [self._entries.live_content(each, one, now) for each, one in zip(ids, copies, strict=True)]

    def put(self, entries: Mapping[str, Content], ttl_s: float | None = None) -> None:
        """See `contract.TextStore`."""
        expires = expires_ms(self._clock(), ttl_s)
        try:
            self._put(entries, expires)
        except NoRoom:
            if not self.sweep():
                raise
            self._put(entries, expires)

    def _put(self, entries: Mapping[str, Content], expires: int) -> None:
        packed = {key_of(each): pack(StoredRecord(each, content, expires)) for each, content in entries.items()}
        with self._environment.writing() as txn:
            self._environment.check_room(txn, [len(stored) + _INDEX_BYTES for stored in packed.values()])
            for key, stored in sorted(packed.items()):
                self._drop(txn, key)
                txn.put(key, stored, db=self._texts)
                if expires != NEVER:
                    txn.put(_moment(expires) + key, b"", db=self._expiry)

    def _drop(self, txn: lmdb.Transaction[bytes], key: bytes) -> StoredRecord | None:
        """Take an entry and its place in the index away. None when there was none, or a damaged one."""
        stored = txn.pop(key, db=self._texts)
        entry = self._entries.read(stored)
        if entry is not None and entry.expires_ms != NEVER:
            txn.delete(_moment(entry.expires_ms) + key, db=self._expiry)
        return entry

    def delete(self, candidate_id: str) -> bool:
        """See `contract.TextStore`."""
        with self._environment.writing() as txn:
            entry = self._drop(txn, key_of(candidate_id))
        return entry is not None and entry.live(self._clock())

    def sweep(self) -> int:
        """See `contract.TextStore`."""
        end, swept = _moment(int(self._clock() * 1000) + 1), 0
        while expired := self._expired(end):
            with self._environment.writing() as txn:
                swept += sum(self._sweep_one(txn, place) for place in expired)
        return swept

    def _sweep_one(self, txn: lmdb.Transaction[bytes], place: bytes) -> bool:
        key = place[_MOMENT_BYTES:]
        txn.delete(place, db=self._expiry)
        stored = txn.get(key, db=self._texts)
        entry = self._entries.read(stored)
        # Where a damaged entry was written anew, the place of the old one stayed: what stands there now may be live.
        return not (entry and entry.live(self._clock())) and txn.delete(key, db=self._texts)

    def _expired(self, end: bytes) -> list[bytes]:
        with self._environment.reading() as txn:
            found: list[bytes] = []
            for place in txn.cursor(self._expiry).iternext(keys=True, values=False):
                if bytes(place[:_MOMENT_BYTES]) >= end or len(found) == _AT_ONCE:
                    break
                found.append(bytes(place))
            return found

    def usage(self) -> Usage:
        """See `contract.TextStore`. Bytes of pages in use."""
        return Usage(*self._environment.usage())

    def close(self) -> None:
        """Let the file go."""
        self._environment.close()


def _moment(milliseconds: int) -> bytes:
    """In an order that is that of time."""
    return milliseconds.to_bytes(_MOMENT_BYTES, "big")
