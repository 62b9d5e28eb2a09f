"""Connections that end in time: uvicorn's HTTP/1.1 protocol, with the limits that it does not have.

uvicorn waits for ever for the rest of a head, of a body, or for a client to read its answer, takes heads of any
size, and queues any number of pipelined requests. Here each of these ends. Knows nothing of routes or models.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Literal, Protocol, cast, get_args

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.errors import BadRequest, Crowded, HeadersTooLarge, ServiceError, TooLarge, TooSlow
from service.http.header_limits import request_id
from service.http.problems import problem

# After a refusal what still comes is dropped for so long: closing at once would destroy the answer on its way. At the
# end of the service a client that has connected is waited for as long.
LINGER_S = 1.0
# Requests that one client may send ahead of their answers.
MAX_PIPELINED = 16
# Turns of the loop from accepting a client to a connection, and one to spare.
TURNS = 4
# Chunked coding may at most double a body: a limit on its pieces, which are otherwise free.
CODING = 2

Cut = Literal["idle", "slow_head", "slow_body", "slow_reader", "large_head", "large_body", "not_http", "crowded"]
CUTS: tuple[Cut, ...] = get_args(Cut)


class Observer(Protocol):
    """Who is told of the connections that did not end by themselves."""

    def connection_cut(self, reason: Cut) -> None:
        """The service ended a connection."""


@dataclass(frozen=True, slots=True)
class ConnectionTimeouts:
    """Seconds until a head or a body has come whole, between requests, and until an answer is taken; then sizes."""

    head_s: float
    body_s: float
    idle_s: float
    answer_s: float
    head_bytes: int
    body_bytes: int
    connections: int


class _Stage(Enum):
    """What the client owes us, or we owe it."""

    waiting = "nothing of the next request has come"
    head = "its head is coming"
    body = "its body is coming"
    answering = "it came whole"
    ended = "the connection is being closed"


class Connection(HttpToolsProtocol):
    """One client's connection. Every stage that the client could draw out has a timer and a limit on bytes."""

    patience: ClassVar[ConnectionTimeouts]
    observer: ClassVar[Observer]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock of the first head: a client that connects has something to say."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._turn = self._timed_turn = 0
        self._used = self._last = False
        self._enter(_Stage.waiting)
        self._arm()
        if len(self.connections) > self.patience.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stage = _Stage.ended
        for timer in (self._timer, self._reader_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As uvicorn does, but count what comes, and end what is no HTTP without a line in the log for each."""
        if self._stage is _Stage.ended:
            return
        if self._stage is _Stage.waiting:
            self._enter(_Stage.head)
        self._came += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse(BadRequest("this is not HTTP/1.1 as it is spoken here"), "not_http")
            return
        self._check_size()
        if self._turn != self._timed_turn:
            self._arm()

    def _feed(self, data: bytes) -> None:
        """Parse; a wish for another protocol, which Java's own client has with every request, is passed over.

        The parser would lose the body of such a request: a new one reads it again, without the wish.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as wish:
            lines = [b"%s: %s\r\n" % (name, value) for name, value in self.headers if name != b"upgrade"]
            start = b"%s %s HTTP/1.1\r\n" % (self.parser.get_method(), self.url)
            self.parser = httptools.HttpRequestParser(self)
            self._feed(b"".join([start, *lines, b"\r\n", data[wish.args[0] :]]))

    def _check_size(self) -> None:
        if self._stage is _Stage.head and self._came > self.patience.head_bytes:
            self._refuse(HeadersTooLarge(), "large_head")
        if self._stage is _Stage.body and self._came > CODING * self.patience.body_bytes + self.patience.head_bytes:
            self._refuse(TooLarge(), "large_body")

    # Called by the parser, in the order of the bytes.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        if self._stage is not _Stage.head:
            self._enter(_Stage.head)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailers of a chunked body look the same to the parser, and are no headers: nobody has checked them."""
        if self._stage is _Stage.head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The app is called, unless too many of this client's requests wait already, or it will be read again."""
        if len(self.pipeline) >= MAX_PIPELINED or self.parser.get_method() == b"CONNECT":
            raise ValueError
        if self.parser.should_upgrade():
            return
        super().on_headers_complete()
        if self._last:
            self.cycle.keep_alive = False
        self._enter(_Stage.body)

    def on_message_complete(self) -> None:
        """From now on the client waits for us, or, where it was refused early, has a new turn."""
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._enter(_Stage.waiting if self.cycle.response_complete else _Stage.answering)

    # Called as answers go out.

    def on_response_complete(self) -> None:
        """The client's turn, unless more of its requests wait or it is still sending what was refused."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # ours is armed instead, and not reset by every stray byte
        self._used = True
        if self._stage is _Stage.answering and self.cycle.response_complete:
            self._enter(_Stage.waiting)
            self._arm()

    def pause_writing(self) -> None:
        """The client does not take its answer."""
        super().pause_writing()
        self._reader_timer = self.loop.call_later(self.patience.answer_s, self._abort, "slow_reader")

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        if self._reader_timer is not None:
            self._reader_timer.cancel()

    def shutdown(self) -> None:
        """Close when idle; a request that has begun to come is still answered, and is the last.

        A client that has only just connected has something to say, and a moment to say it.
        """
        self._last = True
        if self._stage is _Stage.waiting and not self._used:
            self._after(min(self.patience.head_s, LINGER_S), super().shutdown)
        elif self._stage is not _Stage.head:
            super().shutdown()

    # Timers.

    def _enter(self, stage: _Stage) -> None:
        self._stage = stage
        self._came = 0
        self._turn += 1

    def _arm(self) -> None:
        """Start the clock of the stage. Once per reading, not per stage: most requests come whole."""
        self._timed_turn = self._turn
        self._after(self._seconds(), self._run_out)

    def _after(self, seconds: float, ends: Callable[[], None]) -> None:
        """There is one clock, and 0 stops it."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, ends) if seconds else None

    def _seconds(self) -> float:
        if self._stage is _Stage.waiting:
            if self.transport.is_closing():
                return self.patience.answer_s
            return self.patience.idle_s if self._used else self.patience.head_s
        return {_Stage.head: self.patience.head_s, _Stage.body: self.patience.body_s}.get(self._stage, 0.0)

    def _run_out(self) -> None:
        if self._stage is _Stage.waiting:
            self._abort("idle")
        elif self.flow.read_paused:  # it is we who do not read
            self._arm()
        else:
            self._refuse(TooSlow(), "slow_head" if self._stage is _Stage.head else "slow_body")

    # Endings.

    def _make_room(self) -> None:
        """Over the limit the connection that was idle longest goes, so that idle ones can't lock others out."""
        others = [each for each in self.connections if isinstance(each, Connection) and each is not self]
        idle = min((each for each in others if each.idle), key=lambda each: each.due, default=None)
        if idle is not None:
            idle._abort("crowded")
        else:
            self._refuse(Crowded(retry_after_s=1.0), "crowded")

    @property
    def idle(self) -> bool:
        """Whether closing it breaks no request."""
        return self._stage is _Stage.waiting

    @property
    def due(self) -> float:
        """When it will be closed, in the loop's time."""
        return self._timer.when() if self._timer is not None else 0.0

    def _refuse(self, error: ServiceError, reason: Cut) -> None:
        """Tell the client where it can still be told, and end the connection."""
        if not self._may_tell():
            self._abort(reason)
            return
        if self.cycle is not None:  # whatever the app may say of it now comes too late
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._enter(_Stage.ended)
        self._arm()
        self.observer.connection_cut(reason)
        self.transport.write(_raw(error))
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def _may_tell(self) -> bool:
        """Whether the next answer on this connection is due to the request that is refused."""
        if self.pipeline:
            return False
        if self._stage is _Stage.body:
            return not self.cycle.response_started
        return self.cycle is None or bool(self.cycle.response_complete)

    def _abort(self, reason: Cut) -> None:
        self._enter(_Stage.ended)
        self.observer.connection_cut(reason)
        self.transport.abort()


def let_in(listeners: Sequence[socket.socket]) -> list[socket.socket]:
    """Accept everyone who waits: a listener that closes resets them. The loop alone would take a turn for each."""
    clients = []
    for listener in listeners:
        listener.setblocking(False)
        with suppress(OSError):  # nobody waits any more, or no descriptor is left for one
            while True:
                clients.append(listener.accept()[0])
    return clients


async def settle() -> None:
    """Have connections made that the loop accepted last, and read what came on others: it takes a few turns."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def connection_class(patience: ConnectionTimeouts, observer: Observer) -> type[Connection]:
    """What uvicorn makes for each connection."""
    return type("LimitedConnection", (Connection,), {"patience": patience, "observer": observer})


def _raw(error: ServiceError) -> bytes:
    response = problem(error, request_id({}))
    head = [*response.raw_headers, (b"connection", b"close")]
    lines = [b"%s: %s\r\n" % pair for pair in head]
    return b"".join([STATUS_LINE[error.status], *lines, b"\r\n", bytes(response.body)])
