"""A service as a child process: its address, memory, threads, files and log."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from load_tests.server import ServerFailed, free_port, wait_until_ready

SERVICE = (sys.executable, "-m", "service")
CORES = sorted(os.sched_getaffinity(0))


def pin_to_last_core() -> None:
    """Pin this process, the client, to the last core; the service has the others. A single core is shared."""
    os.sched_setaffinity(0, CORES[-1:])


def _own_cores() -> None:
    os.sched_setaffinity(0, CORES[:-1] or CORES)


@dataclass(frozen=True, slots=True)
class Started:
    """A service that is ready."""

    process: subprocess.Popen[bytes]
    port: int
    log: IO[bytes]

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def resident_bytes(self) -> int:
        """Its resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def threads(self) -> int:
        """Number of its threads."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def open_files(self) -> int:
        """Number of its file descriptors."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def written(self) -> bytes:
        """Its log so far."""
        self.log.seek(0)
        return self.log.read()


@asynccontextmanager
async def started(
    command: Sequence[str] = SERVICE, ready: str = "/readyz", **settings: object
) -> AsyncIterator[Started]:
    """Start a service and wait until it is ready; kill it at the end. Raises ServerFailed."""
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
            if not await wait_until_ready(service.url, ready, process):
                raise ServerFailed(service.written().decode(errors="replace")[-2000:])
            yield service
        finally:
            process.kill()
            process.wait()
