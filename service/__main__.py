"""`python -m service`: read settings, build the app, run uvicorn. One clear line and an exit code when it cannot."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from types import FrameType

import uvicorn

from service.app import create_app
from service.keys import BadKeys
from service.lifecycle import Lifecycle
from service.settings import BadSetting, Settings, read_settings


class Server(uvicorn.Server):
    """uvicorn that is not ready first when told to end, serves on for a moment, and only then closes its door."""

    def __init__(self, config: uvicorn.Config, drain_delay_s: float, lifecycle: Lifecycle) -> None:
        super().__init__(config)
        self._drain_delay_s = drain_delay_s
        self._lifecycle = lifecycle
        self._told = False

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
        listener = listen(settings)
    except (BadSetting, BadKeys) as error:
        return _end(2, str(error))
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
    config = uvicorn.Config(
        app,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.grace_s,
        h11_max_incomplete_event_size=settings.max_header_bytes,
    )
    server = Server(config, settings.drain_delay_s, app.desk.lifecycle)
    return server


def listen(settings: Settings) -> socket.socket:
    """A listening socket; raises OSError when the address is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.host, settings.port))
    listener.listen(2048)
    return listener


def _log_to_stderr(level: str) -> None:
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=level.upper(), format=form, stream=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
