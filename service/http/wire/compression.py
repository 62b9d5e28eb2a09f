"""gzip: bodies of requests, within the limit that counts for plain ones, and large answers. Knows no routes."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from dataclasses import dataclass

from starlette.types import Message, Send

from service.errors import BadRequest, TooLarge

_GZIP = frozenset({b"gzip", b"x-gzip"})
_WITH_HEADER = 16 + zlib.MAX_WBITS
# More is compressed outside the event loop.
_MOST_AT_ONCE = 256 << 10


def is_gzip(encoding: bytes) -> bool:
    """Whether a Content-Encoding header says gzip, and nothing else."""
    return encoding.strip().lower() in _GZIP


async def gunzip(raw: bytes, limit: int) -> bytes:
    """The plain body. Never makes more than the limit. Raises TooLarge or BadRequest."""
    return await asyncio.to_thread(_gunzip, raw, limit)


def _gunzip(raw: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(_WITH_HEADER)
    try:
        body = stream.decompress(raw, limit + 1)
    except zlib.error:
        raise BadRequest("the body is not valid gzip") from None
    if len(body) > limit:
        raise TooLarge(f"at most {limit} bytes, uncompressed")
    if not stream.eof:
        raise BadRequest("the gzip body is incomplete")
    if stream.unused_data:  # a body of many small parts would take long
        raise BadRequest("the gzip body has more than one part")
    return body


def accepts_gzip(accepted: bytes) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    for each in accepted.lower().split(b","):
        name, _, quality = each.partition(b";")
        if name.strip() in _GZIP:
            return quality.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False


@dataclass(slots=True)
class CompressedSend:
    """Sends an answer on, compressed if its body has `min_bytes`. The start waits for the body."""

    forward: Send
    min_bytes: int
    start: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            return
        start, self.start = self.start, None
        if start is not None:
            body = message.get("body", b"")
            whole = not message.get("more_body", False)
            if whole and len(body) >= self.min_bytes and not _is_encoded(start):
                body = await _gzip(body)
                start, message = _as_gzip(start, len(body)), {**message, "body": body}
            await self.forward(start)
        await self.forward(message)


def _is_encoded(start: Message) -> bool:
    return any(name.lower() == b"content-encoding" for name, _ in start.get("headers", ()))


def _as_gzip(start: Message, size: int) -> Message:
    kept = [header for header in start.get("headers", ()) if header[0].lower() != b"content-length"]
    own = [(b"content-length", b"%d" % size), (b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
    return {**start, "headers": [*kept, *own]}


async def _gzip(body: bytes) -> bytes:
    if len(body) > _MOST_AT_ONCE:
        return await asyncio.to_thread(gzip.compress, body, 1, mtime=0)
    return gzip.compress(body, 1, mtime=0)
