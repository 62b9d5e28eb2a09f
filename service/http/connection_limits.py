"""Limits on connections: uvicorn's HTTP/1.1 protocol with the timeouts and size limits that it lacks.

uvicorn waits without end for the rest of a head or a body, and for a client to read its response; it accepts heads of
any size, and any number of pipelined requests. Here each of these has a limit. Routes and models are not known here.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from enum import Enum
from typing import ClassVar, Literal, cast, get_args

import httptools

from service.errors import BadRequest, Crowded, HeadersTooLarge, ServiceError, TooLarge, TooSlow
from service.http.problems import problem
from service.http.uvicorn_protocol import STATUS_LINE, UvicornConnection
from service.observability.metrics import Metrics
from service.settings import Settings

# After an error, later bytes are dropped for this long: closing at once could destroy the response on its way. On
# shutdown, a client that has just connected gets as long to send its request.
LINGER_S = 1.0
# Requests that one client may send ahead of their responses.
MAX_PIPELINED = 16
# Turns of the event loop from accepting a client to its connection, and from a timer to reads; one to spare.
TURNS = 4
# Chunked encoding may double a body at most: a limit on its framing, which is otherwise unlimited.
MAX_CHUNKED_OVERHEAD = 2

CutReason = Literal["idle", "slow_head", "slow_body", "slow_reader", "large_head", "large_body", "not_http", "crowded"]
CUT_REASONS: tuple[CutReason, ...] = get_args(CutReason)


class _Stage(Enum):
    """What the connection waits for."""

    waiting = "the first byte of the next request"
    head = "the rest of its head"
    body = "the rest of its body"
    answering = "its response"
    ended = "the connection to close"


class Connection(UvicornConnection):
    """One client's connection. Every stage that a client could prolong has a timer and a limit on bytes."""

    settings: ClassVar[Settings]
    max_connections: ClassVar[int]
    metrics: ClassVar[Metrics]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._turn = self._timed_turn = self._num_bytes = 0
        self._used = self._last = False
        self._enter(_Stage.waiting)
        self._arm()
        if len(self.connections) > self.max_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stage = _Stage.ended
        for timer in (self._timer, self._reader_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse as uvicorn does, within limits, and reject what is not HTTP without a log line."""
        if self._stage is _Stage.ended:
            return
        if self._stage is _Stage.waiting:
            self._enter(_Stage.head)
        self._num_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._num_bytes = 0  # the whole request is parsed again
            self.data_received(self.without_upgrade(data[upgrade.args[0] :]))
            return
        except httptools.HttpParserError:
            self._reject(BadRequest("this is not valid HTTP/1.1"), "not_http")
            return
        max_head, max_body = self.settings.limits.max_header_bytes, self.settings.limits.max_body_bytes
        if self._stage is _Stage.head and self._num_bytes > max_head:
            self._reject(HeadersTooLarge(), "large_head")
        if self._stage is _Stage.body and self._num_bytes > MAX_CHUNKED_OVERHEAD * max_body + max_head:
            self._reject(TooLarge(), "large_body")
        if self._turn != self._timed_turn:
            self._arm()

    # Called by the parser, in the order of the bytes.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._stage is not _Stage.head:
            self._enter(_Stage.head)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header. Trailers of a chunked body come here too and are dropped: they were not checked."""
        if self._stage is _Stage.head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Call the app, unless too many requests are pipelined, or the request will be parsed again."""
        if len(self.pipeline) >= MAX_PIPELINED or self.parser.get_method() == b"CONNECT":
            raise ValueError
        if self.parser.should_upgrade():
            return
        super().on_headers_complete()
        if self._last:
            self.end_after_response()
        self._enter(_Stage.body)

    def on_message_complete(self) -> None:
        """Wait for the response, or for the next request if this one was answered early."""
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._enter(_Stage.waiting if self.response_complete else _Stage.answering)

    # Called as responses are sent.

    def on_response_complete(self) -> None:
        """Wait for the next request, unless more are pipelined or this one is still arriving."""
        super().on_response_complete()
        self.stop_keep_alive_timer()
        self._used = True
        if self._stage is _Stage.answering and self.response_complete:
            self._enter(_Stage.waiting)
            self._arm()

    def pause_writing(self) -> None:
        """Start the timer of a client that does not read its response."""
        super().pause_writing()
        self._reader_timer = self.loop.call_later(self.settings.server.answer_s, self._abort, "slow_reader")

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reader_timer is not None:
            self._reader_timer.cancel()

    def shutdown(self) -> None:
        """Close when idle. A request that has begun to arrive is still answered, and is the last one.

        A client that has just connected gets a moment to send its request.
        """
        self._last = True
        if self._stage is _Stage.waiting and not self._used:
            self._after(min(self.settings.server.head_s, LINGER_S), super().shutdown)
        elif self._stage is not _Stage.head:
            super().shutdown()

    # Timers.

    def _enter(self, stage: _Stage) -> None:
        self._stage = stage
        self._num_bytes = 0
        self._turn += 1

    def _arm(self) -> None:
        """Start the timer of the stage. Once per read, not per stage: most requests arrive in one read."""
        self._timed_turn = self._turn
        self._after(self._seconds(), self._time_out)

    def _after(self, seconds: float, ends: Callable[[], None]) -> None:
        """Restart the only timer; 0 stops it."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, ends) if seconds else None

    def _seconds(self) -> float:
        server = self.settings.server
        if self._stage is _Stage.waiting:
            if self.transport.is_closing():
                return server.answer_s
            return server.keep_alive_s if self._used else server.head_s
        return {_Stage.head: server.head_s, _Stage.body: server.body_s}.get(self._stage, 0.0)

    def _time_out(self) -> None:
        if self._stage is _Stage.waiting:
            self._close_if_idle(self._turn, TURNS)
        elif self.read_paused:  # the delay is the app's
            self._arm()
        else:
            self._reject(TooSlow(), "slow_head" if self._stage is _Stage.head else "slow_body")

    def _close_if_idle(self, since: int, turns: int) -> None:
        """Close, unless a request is there that the event loop has not read yet: timers come first, reads after."""
        if self._turn != since:
            return
        if turns:
            self.loop.call_soon(self._close_if_idle, since, turns - 1)
        else:
            self._abort("idle")

    # Endings.

    def _make_room(self) -> None:
        """Close the connection that was idle longest, so that idle clients cannot lock others out."""
        others = [each for each in self.connections if isinstance(each, Connection) and each is not self]
        idle = min((each for each in others if each.idle), key=lambda each: each._closes_at(), default=None)
        if idle is not None:
            idle._abort("crowded")
        else:
            self._reject(Crowded(retry_after_s=1.0), "crowded")

    @property
    def idle(self) -> bool:
        """Whether closing the connection breaks no request."""
        return self._stage is _Stage.waiting

    def _closes_at(self) -> float:
        return self._timer.when() if self._timer is not None else 0.0

    def _reject(self, error: ServiceError, reason: CutReason) -> None:
        """Send the error if the client can still receive it, and end the connection."""
        if not self._may_respond():
            self._abort(reason)
            return
        self.disconnect_app()
        self._enter(_Stage.ended)
        self._arm()
        self.metrics.connection_cut(reason)
        self.transport.write(_raw(error))
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def _may_respond(self) -> bool:
        """Whether the next response on this connection belongs to the rejected request."""
        if self.pipeline:
            return False
        return not self.response_started if self._stage is _Stage.body else self.response_complete

    def _abort(self, reason: CutReason) -> None:
        self._enter(_Stage.ended)
        self.metrics.connection_cut(reason)
        self.transport.abort()


async def let_connections_start() -> None:
    """Wait a few turns of the event loop: it makes the connections accepted last, and reads what has arrived."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def _raw(error: ServiceError) -> bytes:
    response = problem(error, secrets.token_hex(8))
    head = [*response.raw_headers, (b"connection", b"close")]
    lines = [b"%s: %s\r\n" % pair for pair in head]
    return b"".join([STATUS_LINE[error.status], *lines, b"\r\n", bytes(response.body)])
