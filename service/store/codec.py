"""A candidate's text or fields as one entry of a store that outlives the process: id, features, expiry, checksum.

The id is part of the entry, so that two ids with the same key are not confused.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from models.errors import DamagedEntry
from service.store.interface import Featured, Stored

_MAGIC = b"fst1"
_COMPRESSED = b"fst2"
_HEADER = struct.Struct("<4sqI")
NEVER = 0
"""The `expires_ms` of an entry that does not expire."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """What is stored of one candidate; `expires_ms` counts from the epoch."""

    id: str
    content: Stored
    expires_ms: int


def expires_ms(now_s: float, ttl_s: float | None) -> int:
    """When an entry that is stored now expires."""
    return NEVER if ttl_s is None else round((now_s + ttl_s) * 1000)


def key_of(candidate_id: str) -> bytes:
    """16 bytes for an id of any length."""
    return hashlib.blake2b(candidate_id.encode(), digest_size=16).digest()


def pack(record: StoredRecord, *, compress: bool = False) -> bytes:
    """The bytes that are stored under the record's key."""
    body, magic = orjson.dumps([record.id, *parts_of(record.content)]), _MAGIC
    if compress:
        body, magic = zlib.compress(body, 6), _COMPRESSED
    return _HEADER.pack(magic, record.expires_ms, _checksum(record.expires_ms, body)) + body


def unpack(stored: bytes) -> StoredRecord:
    """Read what `pack` wrote. Raises DamagedEntry for anything else."""
    if len(stored) < _HEADER.size:
        raise DamagedEntry("an entry is shorter than its header")
    magic, expires, stated = _HEADER.unpack_from(stored)
    body = stored[_HEADER.size :]
    if magic not in (_MAGIC, _COMPRESSED) or _checksum(expires, body) != stated:
        raise DamagedEntry("an entry does not match its checksum")
    candidate_id, *parts = orjson.loads(zlib.decompress(body) if magic == _COMPRESSED else body)
    return StoredRecord(candidate_id, stored_of(parts), expires)


def parts_of(stored: Stored) -> list[object]:
    """As plain values for JSON: the content, and the features if there are some."""
    return [stored.content, dict(stored.features)] if isinstance(stored, Featured) else [stored]


def stored_of(parts: Sequence[Any]) -> Stored:
    """What `parts_of` wrote."""
    content: Stored = parts[0]
    return Featured(*parts) if len(parts) > 1 else content


class RecordReader:
    """Reads a store's entries and counts damaged ones. `clock` gives seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.damaged = 0

    def read(self, stored: bytes | None) -> StoredRecord | None:
        """The record; None where there is none, or a damaged one."""
        try:
            return None if stored is None else unpack(stored)
        except DamagedEntry:
            self.damaged += 1
            return None

    def is_live(self, record: StoredRecord | None) -> bool:
        """Whether there is a record that has not expired."""
        return record is not None and (record.expires_ms == NEVER or record.expires_ms > self._clock() * 1000)

    def contents(self, ids: Iterable[str], stored: Iterable[bytes | None]) -> list[Stored | None]:
        """What is stored of each candidate; None where its entry is missing, damaged, expired or of another id."""
        records = zip(ids, map(self.read, stored), strict=True)
        return [r.content if r and r.id == each and self.is_live(r) else None for each, r in records]


def live_entries(reader: RecordReader, stored: Iterable[bytes | None]) -> list[tuple[str, Stored]]:
    """Id and content of each entry that is neither damaged nor expired."""
    return [(record.id, record.content) for record in map(reader.read, stored) if record and reader.is_live(record)]


def _checksum(expires: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(expires.to_bytes(8, "little", signed=True)))
