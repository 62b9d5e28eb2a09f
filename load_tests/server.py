"""A server as a child process on a free port: start it, wait until it is ready, stop it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from load_tests.client import BrokenAnswer, Connections

# Saturation needs a service that rejects nothing. By default it rejects requests that it cannot finish in time, and not
# every request format can state a deadline. A run that only seems hung on busy cores must not end the service.
DEADLINE_MS = 600_000
READY_TIMEOUT_S = 180.0
SATURATED = {
    "FITSCORE_HOST": "127.0.0.1",
    "FITSCORE_DEFAULT_DEADLINE_MS": str(DEADLINE_MS),
    "FITSCORE_MAX_BACKLOG_S": "600",
    "FITSCORE_HANG_S": "120",
}


class ServerFailed(Exception):
    """The server ended, or was not ready in time. Carries the end of its log."""


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@asynccontextmanager
async def running(
    command: Sequence[str],
    port: int,
    ready_path: str,
    *,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[str]:
    """Start a server; yields its address. Stops it at the end by SIGTERM, then by SIGKILL."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            list(command), env={**os.environ, **(environment or {})}, stdout=log, stderr=subprocess.STDOUT
        )
        url = f"http://127.0.0.1:{port}"
        try:
            if not await wait_until_ready(url, ready_path, process):
                log.seek(0)
                tail = log.read().decode(errors="replace").splitlines()[-15:]
                raise ServerFailed("\n".join([f"not ready: {' '.join(command)}", *tail]))
            yield url
        finally:
            _stop(process)


async def wait_until_ready(url: str, path: str, process: subprocess.Popen[bytes]) -> bool:
    """Poll `path` until it answers 200; False when the process ends or is not ready in time."""
    give_up = time.monotonic() + READY_TIMEOUT_S
    async with Connections(url) as connections:
        while time.monotonic() < give_up and process.poll() is None:
            try:
                if (await connections.get(path)).status == 200:
                    return True
            except (OSError, BrokenAnswer):
                pass
            await asyncio.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
