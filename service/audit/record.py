"""One line of the audit log, and the chain of lines. Pure: bytes in, bytes out; no files, no clock.

A line is a JSON object. `mac` is HMAC-SHA256 over the rest of the line, and `previous` is the `mac` of the line
before: changing, removing or inserting a line breaks the chain for all lines after it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from models.template import Content
from service.request import ScoringRequest
from service.scoring.blending import ScoringResult
from service.store.interface import memory_of

Line = Mapping[str, object]
START = "0" * 64
"""The `previous` of the first line."""


class BadLine(Exception):
    """A line that was changed or is out of place. The sentence says why, and names no content."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One scored request; its candidates hold what was scored, also where they were sent by id."""

    request: ScoringRequest
    result: ScoringResult

    @property
    def size(self) -> int:
        """Estimated bytes in memory while it waits."""
        items = (self.request.member, *self.request.candidates)
        return 1000 + sum(memory_of(each.id, each.content) for each in items)


@dataclass(frozen=True, slots=True)
class AuditKeys:
    """Three keys derived from one secret, so that no key reveals another."""

    chain: bytes
    digest: bytes
    encryption: bytes

    @classmethod
    def of(cls, secret: bytes) -> AuditKeys:
        """`secret` is 32 random bytes or more."""
        return cls(*(hmac.digest(secret, b"fitscore audit " + use, "sha256") for use in (b"1", b"2", b"3")))

    def digest_of(self, content: Content | None) -> str:
        """Equal for equal content. Without the key, a guessed text cannot be checked against it."""
        raw = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        return hmac.new(self.digest, raw, hashlib.sha256).hexdigest()


def chained(line: Line, number: int, previous: str, key: bytes) -> tuple[bytes, str]:
    """The bytes to write, with a newline, and the line's mac."""
    raw = orjson.dumps({"number": number, "previous": previous, **line})
    mac = hmac.new(key, raw, hashlib.sha256).hexdigest()
    return b'%s,"mac":"%s"}\n' % (raw[:-1], mac.encode()), mac


def checked(raw: bytes, number: int | None, previous: str | None, key: bytes) -> dict[str, object]:
    """Parse a line and check its mac, its number and its predecessor, unless these are None. Raises BadLine."""
    body, _, tail = raw.rpartition(b',"mac":"')
    if len(tail) != 67 or tail[64:] != b'"}\n':
        raise BadLine("is cut off, or is not a line of an audit log")
    if not hmac.compare_digest(hmac.new(key, body + b"}", hashlib.sha256).hexdigest().encode(), tail[:64]):
        raise BadLine("was changed, or written with another key")
    line: dict[str, object] = orjson.loads(raw)
    if number is not None and line["number"] != number:
        raise BadLine(f"has number {line['number']} where {number} is expected")
    if previous is not None and line["previous"] != previous:
        raise BadLine("does not follow the line before it")
    return line
