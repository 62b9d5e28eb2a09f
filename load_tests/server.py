"""A server as a child process on a free port: start it, wait until it answers, stop it."""

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

# Saturation needs a service that refuses nothing: by default it turns away what it cannot finish in time, and not every
# wire shape can state a deadline in its body. And a run that only seems hung, for something else has the cores, must
# not end it.
DEADLINE_MS = 600_000
SATURATED = {
    "FITSCORE_HOST": "127.0.0.1",
    "FITSCORE_DEFAULT_DEADLINE_MS": str(DEADLINE_MS),
    "FITSCORE_MAX_BACKLOG_S": "600",
    "FITSCORE_HANG_S": "120",
}


class ServerFailed(Exception):
    """The server ended, or was not ready in time; carries the last lines that it wrote."""


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
    patience_s: float = 180,
) -> AsyncIterator[str]:
    """The address of the started server; it is asked to stop at the end, and killed when it does not."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            list(command), env={**os.environ, **(environment or {})}, stdout=log, stderr=subprocess.STDOUT
        )
        url = f"http://127.0.0.1:{port}"
        try:
            if not await _ready(url + ready_path, process, patience_s):
                log.seek(0)
                tail = log.read().decode(errors="replace").splitlines()[-15:]
                raise ServerFailed("\n".join([f"not ready: {' '.join(command)}", *tail]))
            yield url
        finally:
            _stop(process)


async def _ready(url: str, process: subprocess.Popen[bytes], patience_s: float) -> bool:
    base, _, path = url.rpartition("/")
    give_up = time.monotonic() + patience_s
    async with Connections(base) as connections:
        while time.monotonic() < give_up and process.poll() is None:
            try:
                if (await connections.get(f"/{path}")).status == 200:
                    return True
            except (OSError, BrokenAnswer):
                pass
            await asyncio.sleep(0.1)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
