"""A candidate's text or fields as one entry of a store that outlives the process: id, when it expires, checksum.

The id stands in the entry, so that two ids whose keys are the same are told apart.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass

import orjson

from models.errors import DamagedEntry
from service.store.interface import Content

_MAGIC = b"fst1"
_HEADER = struct.Struct("<4sqI")
NEVER = 0
"""Stands for "does not expire" among milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """What is stored of one candidate; `expires_ms` counts from the epoch."""

    id: str
    content: Content
    expires_ms: int

    def live(self, now_s: float) -> bool:
        """Whether its time is not up."""
        return self.expires_ms == NEVER or self.expires_ms > now_s * 1000


def expires_ms(now_s: float, ttl_s: float | None) -> int:
    """When what is stored now expires."""
    return NEVER if ttl_s is None else round((now_s + ttl_s) * 1000)


def key_of(candidate_id: str) -> bytes:
    """16 bytes for an id of any length."""
    return hashlib.blake2b(candidate_id.encode(), digest_size=16).digest()


def pack(entry: StoredRecord) -> bytes:
    """The bytes that are stored under the entry's key."""
    body = orjson.dumps([entry.id, entry.content])
    return _HEADER.pack(_MAGIC, entry.expires_ms, _checksum(entry.expires_ms, body)) + body


def unpack(stored: bytes) -> StoredRecord:
    """Read back what `pack` made. Raises DamagedEntry for anything else."""
    if len(stored) < _HEADER.size:
        raise DamagedEntry("an entry is shorter than its header")
    magic, expires, stated = _HEADER.unpack_from(stored)
    body = stored[_HEADER.size :]
    if magic != _MAGIC or _checksum(expires, body) != stated:
        raise DamagedEntry("an entry does not have its checksum")
    candidate_id, content = orjson.loads(body)
    return StoredRecord(candidate_id, content, expires)


class RecordReader:
    """Reads what a store has under candidates' keys."""

    def __init__(self) -> None:
        self.damaged = 0
        """Entries that were read and were not what had been written."""

    def read(self, stored: bytes | None) -> StoredRecord | None:
        """The entry; None where there is none, and, which is counted, where it is damaged."""
        try:
            return None if stored is None else unpack(stored)
        except DamagedEntry:
            self.damaged += 1
            return None

    def live_content(self, candidate_id: str, stored: bytes | None, now_s: float) -> Content | None:
        """What is stored of this candidate, unless nothing is, or another's, or its time is up."""
        entry = self.read(stored)
        return entry.content if entry and entry.id == candidate_id and entry.live(now_s) else None


def _checksum(expires: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(expires.to_bytes(8, "little", signed=True)))
