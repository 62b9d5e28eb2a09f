"""One line of the audit log, the chain of lines, and their files. Knows no model and no request.

A line is a JSON object. `mac` is HMAC-SHA256 over the rest of the line, and `previous` is the `mac` of the line
before: changing, removing or inserting a line breaks the chain for all lines after it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.template import Content

Line = Mapping[str, object]
START = "0" * 64
"""The `previous` of the first line."""


class BadLine(Exception):
    """A line that was changed or is out of place. The sentence says why, and names no content."""


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
        import orjson  # only who writes needs it

        raw = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        return hmac.new(self.digest, raw, hashlib.sha256).hexdigest()


def chained(line: Line, number: int, previous: str, key: bytes) -> tuple[bytes, str]:
    """The bytes to write, with a newline, and the line's mac."""
    import orjson

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
    line: dict[str, object] = json.loads(raw)
    if number is not None and line["number"] != number:
        raise BadLine(f"has number {line['number']} where {number} is expected")
    if previous is not None and line["previous"] != previous:
        raise BadLine("does not follow the line before it")
    return line


def segments(folder: Path) -> list[Path]:
    """The log's files, oldest first."""
    return sorted(folder.glob("audit-*.jsonl"))


def checked_lines(folder: Path, key: bytes) -> Iterator[dict[str, object]]:
    """All lines, oldest first. Raises BadLine with file and line where the chain breaks."""
    number, previous = None, None
    for path in segments(folder):
        with path.open("rb") as lines:
            for place, raw in enumerate(lines, start=1):
                try:
                    line = checked(raw, number, previous, key)
                except BadLine as fault:
                    raise BadLine(f"{path.name}, line {place}: {fault}") from None
                number, previous = int(str(line["number"])) + 1, str(line["mac"])
                yield line
