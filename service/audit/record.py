"""What one line of the audit log says, and how lines hang together. Pure: bytes in, bytes out; no files, no clock.

A line is a JSON object. `mac` is HMAC-SHA256 over the line before it was added, and `previous` is the `mac` of the
line before: changing, removing or inserting a line breaks the chain for all that follow.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from models.template import Fields

Content = str | Fields | None
Line = Mapping[str, object]
# What stands before the very first line.
START = "0" * 64


class BadLine(Exception):
    """A line that is not what was written; says which and why, and nothing of what stands in it."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One request that was answered, as the routes hand it over. `rows` are probabilities, NaN where there is none."""

    request_id: str
    caller: str
    model: str
    version: str
    member: Content
    candidates: Sequence[tuple[str, Content]]
    blend: Mapping[str, float] | None
    statuses: Sequence[str]
    rows: Sequence[Sequence[float]]
    scores: Sequence[float]
    degraded: bool

    @property
    def size(self) -> int:
        """About how many bytes it holds while it waits."""
        return 1000 + _length(self.member) + sum(200 + len(name) + _length(each) for name, each in self.candidates)


def _length(content: Content) -> int:
    if content is None or isinstance(content, str):
        return len(content or "")
    return sum(len(name) + len(str(value)) for name, value in content.items())


@dataclass(frozen=True, slots=True)
class AuditKeys:
    """Three keys out of one secret, so that none tells of another: for the chain, for digests, for sealing."""

    chain: bytes
    digest: bytes
    seal: bytes

    @classmethod
    def of(cls, secret: bytes) -> AuditKeys:
        """`secret` is 32 random bytes or more."""
        chain, digest, seal = (hmac.digest(secret, b"fitscore audit " + use, "sha256") for use in (b"1", b"2", b"3"))
        return cls(chain, digest, seal)

    def digest_of(self, content: Content) -> str:
        """The same for equal texts, and without the key of no use to whoever guesses them."""
        raw = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        return hmac.new(self.digest, raw, hashlib.sha256).hexdigest()


def chained(line: Line, number: int, previous: str, key: bytes) -> tuple[bytes, str]:
    """The line as it is written, with its newline, and its mac."""
    raw = orjson.dumps({"number": number, "previous": previous, **line})
    mac = hmac.new(key, raw, hashlib.sha256).hexdigest()
    return b'%s,"mac":"%s"}\n' % (raw[:-1], mac.encode()), mac


def checked(raw: bytes, number: int | None, previous: str | None, key: bytes) -> dict[str, object]:
    """The line, if it is the one that was written at this place. Raises BadLine. None: any place will do."""
    body, _, tail = raw.rpartition(b',"mac":"')
    if len(tail) != 67 or tail[64:] != b'"}\n':
        raise BadLine("is cut off or not a line of this log")
    if not hmac.compare_digest(hmac.new(key, body + b"}", hashlib.sha256).hexdigest().encode(), tail[:64]):
        raise BadLine("was changed, or written with another key")
    line: dict[str, object] = orjson.loads(raw)
    if number is not None and line["number"] != number:
        raise BadLine(f"has number {line['number']} where {number} is due")
    if previous is not None and line["previous"] != previous:
        raise BadLine("does not follow the line before it")
    return line
