"""A service under fire as a process: its address, its memory, what it wrote, and signals for it."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from load_tests.client import BrokenAnswer, Connections
from load_tests.server import ServerFailed, free_port

SERVICE = (sys.executable, "-m", "service")
PATIENCE_S = 120.0
CORES = sorted(os.sched_getaffinity(0))


def keep_apart() -> None:
    """Have this process, which asks, keep to the last core; the service has the others. One core is shared."""
    os.sched_setaffinity(0, CORES[-1:])


def _own_cores() -> None:
    os.sched_setaffinity(0, CORES[:-1] or CORES)


@dataclass(frozen=True, slots=True)
class Started:
    """A process that answers."""

    process: subprocess.Popen[bytes]
    port: int
    log: IO[bytes]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def resident_bytes(self) -> int:
        """What it holds in memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def threads(self) -> int:
        """Its threads."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def open_files(self) -> int:
        """Its descriptors."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def written(self) -> bytes:
        """All that it has logged."""
        self.log.seek(0)
        return self.log.read()


@asynccontextmanager
async def started(
    command: Sequence[str] = SERVICE, ready: str = "/readyz", **settings: object
) -> AsyncIterator[Started]:
    """A service that is ready; it is killed at the end. Raises ServerFailed."""
    port = free_port()
    environment = {f"FITSCORE_{name.upper()}": str(value) for name, value in settings.items()}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command],
            env={**os.environ, **environment, "FITSCORE_PORT": str(port)},
            stdout=log,
            stderr=log,
            preexec_fn=_own_cores,
        )
        service = Started(process, port, log)
        try:
            await _ready(service, ready)
            yield service
        finally:
            process.kill()
            process.wait()


async def _ready(service: Started, path: str) -> None:
    give_up = time.monotonic() + PATIENCE_S
    async with Connections(service.url) as connections:
        while time.monotonic() < give_up and service.process.poll() is None:
            try:
                if (await connections.get(path)).status == 200:
                    return
            except (OSError, BrokenAnswer):
                pass
            await asyncio.sleep(0.05)
    raise ServerFailed(service.written().decode(errors="replace")[-2000:])
