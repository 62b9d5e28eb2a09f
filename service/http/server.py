"""uvicorn, as the service runs it: limited connections, a graceful end, and operations on a port of their own."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal, cast

import uvicorn
from starlette.types import ASGIApp

from service.http.connection_limits import Connection, let_connections_start
from service.http.wire.listening import accept_waiting, let_no_client_begin
from service.observability.metrics import Metrics
from service.settings import Settings

# Open files that are not connections: the listener, the event loop's own, libraries while they load, bundle files.
OWN_DESCRIPTORS = 48
# A handshake that is under way when the service ends may take this long: the way to the client and back.
HANDSHAKE_S = 0.1


class SidecarServer(uvicorn.Server):
    """A server in the event loop of another one, which handles the signals."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self.listener = listener

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server(uvicorn.Server):
    """uvicorn with a drain: on the first signal it calls `drain`, serves for `drain_delay_s` more, and then ends."""

    def __init__(
        self,
        config: uvicorn.Config,
        drain_delay_s: float,
        drain: Callable[[], None],
        sidecar: SidecarServer | None = None,
    ) -> None:
        super().__init__(config)
        self._sidecar = sidecar
        self._drain_delay_s = drain_delay_s
        self._drain = drain
        self._draining = False

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, and run the sidecar for as long."""
        if self._sidecar is None:
            await super().serve(sockets)
            return
        operations = asyncio.create_task(self._sidecar.serve([self._sidecar.listener]))
        try:
            await super().serve(sockets)
        finally:
            self._sidecar.should_exit = True
            await operations

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let no further client connect, accept every one that has, and close the listeners."""
        for listener in sockets or []:
            let_no_client_begin(listener)
        await asyncio.sleep(HANDSHAKE_S)
        clients = accept_waiting(sockets or [])
        for server in self.servers:
            server.close()
        connect = asyncio.get_running_loop().connect_accepted_socket
        await asyncio.gather(*(connect(self._connection, each) for each in clients), return_exceptions=True)
        await let_connections_start()
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        """A connection, made as uvicorn makes it."""
        make = cast(Callable[..., asyncio.Protocol], self.config.http_protocol_class)
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain on the first signal; end at once on a second one or on Ctrl-C."""
        if self._draining or sig == signal.SIGINT:
            super().handle_exit(sig, frame)
            return
        self._draining = True
        self._drain()
        asyncio.get_running_loop().call_later(self._drain_delay_s, self._end)

    def _end(self) -> None:
        self.should_exit = True


def uvicorn_config(
    app: ASGIApp, settings: Settings, metrics: Metrics, lifespan: Literal["on", "off"] = "on"
) -> uvicorn.Config:
    """How uvicorn runs the app: with limited connections, and without a log line for each request."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    max_connections = min(settings.server.max_connections, max(1, soft - OWN_DESCRIPTORS))
    limits = {"settings": settings, "max_connections": max_connections, "metrics": metrics}
    return uvicorn.Config(
        app,
        http=type("LimitedConnection", (Connection,), limits),
        ws="none",
        lifespan=lifespan,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the client's address is not used
        timeout_graceful_shutdown=settings.server.grace_s,
    )
