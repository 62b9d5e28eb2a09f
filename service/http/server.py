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

from service.http.connection_limits import Connection, accept_waiting, let_connections_start
from service.observability.metrics import Metrics
from service.settings import Settings

# Open files that are not connections: the listener, the event loop's own, libraries while they load, bundle files.
OWN_DESCRIPTORS = 48


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
        """Accept every client that waits, and close the listeners in the same turn of the loop."""
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


class CannotListen(OSError):
    """The address cannot be used; the sentence names it."""


def address(host: str, port: int) -> str:
    """A host and a port as a URL has them: an IPv6 address is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. `host` may be an IPv6 address in brackets. Raises CannotListen."""
    host = host.strip().removeprefix("[").removesuffix("]")
    try:
        return _listening(host, port)
    except (OSError, UnicodeError) as error:  # the second is for what cannot be a host name
        raise CannotListen(f"cannot listen on {address(host, port)}: {getattr(error, 'strerror', error)}") from None


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener
