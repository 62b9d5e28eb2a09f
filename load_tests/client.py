"""A keep-alive HTTP/1.1 client on raw asyncio: on a small machine the load generator must be cheap.

One request at a time per connection. Reads answers with a Content-Length or in chunks; anything else is a
`BrokenAnswer`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit


class BrokenAnswer(Exception):
    """The server closed the connection, or answered with something that is not HTTP/1.1."""


Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """One keep-alive connection. Opens at the first request, and again after the server has closed it."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, verb: str, path: str, body: bytes = b"", headers: Headers = ()) -> Answer:
        """Raises `BrokenAnswer` or `OSError`; then the next request opens a new connection."""
        more = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = (
            f"{verb} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        )
        try:
            return await self._exchange(head.encode() + body)
        except asyncio.IncompleteReadError as error:
            self.close()
            raise BrokenAnswer("the connection closed within an answer") from error
        except BaseException:
            # Also when cancelled: a late answer must not be read as the next request's.
            self.close()
            raise

    def close(self) -> None:
        """Safe to call twice."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, request: bytes) -> Answer:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # the server closed the idle connection
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, limit=2**20)
        reader, writer = self._streams
        writer.write(request)
        answer = await _read(reader)
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer


class Connections:
    """A pool of connections, most recently used first. Grows with the number of concurrent requests."""

    def __init__(self, base_url: str) -> None:
        url = urlsplit(base_url)
        if url.scheme != "http" or url.hostname is None:
            raise ValueError(f"not an http:// address: {base_url}")
        self._host, self._port = url.hostname, url.port or 80
        self._idle: list[Connection] = []

    async def post(self, path: str, body: bytes, headers: Headers = ()) -> Answer:
        """See `Connection.send`."""
        return await self._send("POST", path, body, headers)

    async def put(self, path: str, body: bytes) -> Answer:
        """See `Connection.send`."""
        return await self._send("PUT", path, body)

    async def get(self, path: str) -> Answer:
        """See `Connection.send`."""
        return await self._send("GET", path, b"")

    async def _send(self, verb: str, path: str, body: bytes, headers: Headers = ()) -> Answer:
        connection = self._idle.pop() if self._idle else Connection(self._host, self._port)
        try:
            return await connection.send(verb, path, body, headers)
        finally:
            self._idle.append(connection)

    async def __aenter__(self) -> Connections:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._idle:
            connection.close()


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    version, _, rest = head[0].partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise BrokenAnswer("the answer is not HTTP/1.1")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Answer(int(rest[:3]), headers, await _read_chunks(reader))
    if "content-length" not in headers:
        raise BrokenAnswer("the answer states no length")
    return Answer(int(rest[:3]), headers, await reader.readexactly(int(headers["content-length"])))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return bytes(body)
