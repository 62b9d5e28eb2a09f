"""`python -m service`: read settings, build the app, run uvicorn. One clear line and an exit code when it cannot."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal, cast

import uvicorn

from models.errors import StoreDown
from service.app import create_app
from service.audit.log import BadAudit
from service.http.api_keys import BadKeys
from service.http.connection_limits import ConnectionTimeouts, connection_class, let_in, settle
from service.http.guard import RequestGuard
from service.lifecycle import Lifecycle
from service.settings import BadSetting, Settings, read_settings

# Open files that are no connections: the listener, the loop's own, libraries while they load, a bundle's files.
OWN_DESCRIPTORS = 48


class SidecarServer(uvicorn.Server):
    """A server within another's loop: signals are the other's business."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self.listener = listener

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class Server(uvicorn.Server):
    """uvicorn that is not ready first when told to end, serves on for a moment, and only then closes its door."""

    def __init__(
        self, config: uvicorn.Config, drain_delay_s: float, lifecycle: Lifecycle, beside: SidecarServer | None = None
    ) -> None:
        super().__init__(config)
        self._beside = beside
        self._drain_delay_s = drain_delay_s
        self._lifecycle = lifecycle
        self._told = False

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, and have operations served beside it for as long."""
        if self._beside is None:
            await super().serve(sockets)
            return
        inside = asyncio.create_task(self._beside.serve([self._beside.listener]))
        try:
            await super().serve(sockets)
        finally:
            self._beside.should_exit = True
            await inside

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let in who waits, and only then close the door, in the same turn of the loop."""
        clients = let_in(sockets or [])
        for server in self.servers:
            server.close()
        connect = asyncio.get_running_loop().connect_accepted_socket
        await asyncio.gather(*(connect(self._connection, each) for each in clients), return_exceptions=True)
        await settle()
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        """As uvicorn makes them."""
        make = cast(Callable[..., asyncio.Protocol], self.config.http_protocol_class)
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains; a second one, or Ctrl-C, ends at once."""
        if self._told or sig == signal.SIGINT:
            super().handle_exit(sig, frame)
            return
        self._told = True
        self._lifecycle.drain()
        asyncio.get_running_loop().call_later(self._drain_delay_s, self._close)

    def _close(self) -> None:
        self.should_exit = True


def main() -> int:
    """Serve until told to end. Exit code 0 after a clean end, 1 when the service could not run, 2 for a bad setting."""
    failures: list[str] = []
    try:
        settings = read_settings(os.environ)
        server = _server(settings, failures)
        listener = listen(settings.host, settings.port)
    except (BadSetting, BadKeys, BadAudit) as error:
        return _end(2, str(error))
    except StoreDown as error:
        return _end(1, str(error))
    except OSError as error:
        return _end(1, f"cannot listen on {settings.host}:{settings.port}: {error.strerror}")
    _log_to_stderr(settings.log_level)
    logging.getLogger("fitscore").info("listening on http://%s:%d", *listener.getsockname()[:2])
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn has closed everything and passes the signal on
        return 130
    return _end(1, *failures) if failures else 0


def _end(code: int, *sentences: str) -> int:
    for sentence in sentences:
        print(f"fitscore: {sentence}", file=sys.stderr)
    return code


def _server(settings: Settings, failures: list[str]) -> Server:
    def fail(sentence: str) -> None:
        failures.append(sentence)
        server.should_exit = True

    app = create_app(settings, on_failure=fail)
    beside = None
    if settings.metrics_port:
        inside = uvicorn_config(app.operations(), settings, lifespan="off")
        beside = SidecarServer(inside, listen(settings.host, settings.metrics_port))
    server = Server(uvicorn_config(app, settings), settings.drain_delay_s, app.desk.lifecycle, beside)
    return server


def uvicorn_config(app: RequestGuard, settings: Settings, lifespan: Literal["on", "off"] = "on") -> uvicorn.Config:
    """How uvicorn runs the app: in our connections, and silent about each request."""
    patience = ConnectionTimeouts(
        head_s=settings.head_s,
        body_s=settings.body_s,
        idle_s=settings.keep_alive_s,
        answer_s=settings.answer_s,
        head_bytes=settings.max_header_bytes,
        body_bytes=settings.max_body_bytes,
        connections=min(settings.max_connections, _free_descriptors()),
    )
    return uvicorn.Config(
        app,
        http=connection_class(patience, app.desk.metrics),
        ws="none",
        lifespan=lifespan,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks for a caller's address
        timeout_graceful_shutdown=settings.grace_s,
    )


def _free_descriptors() -> int:
    """How many connections the limit on open files leaves room for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, soft - OWN_DESCRIPTORS)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises OSError when the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(2048)
    return listener


def _log_to_stderr(level: str) -> None:
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=level.upper(), format=form, stream=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
