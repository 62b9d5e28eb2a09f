"""`python -m service` as a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.service import OPEN
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]


def environment(settings: dict[str, str]) -> dict[str, str]:
    """This process's own, without the settings that it may carry."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("FITSCORE_")}
    usual = {"PORT": "0", "THREADS": "1", **{name.upper(): str(value) for name, value in OPEN.items()}}
    settings = {**usual, **settings}
    return {**own, **{f"FITSCORE_{name}": text for name, text in settings.items()}}


@contextmanager
def process(*program: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """A service that is ready, and a client for it. `program` starts it otherwise than `-m service`."""
    command = [sys.executable, *(program or ("-m", "service"))]
    started = subprocess.Popen(command, cwd=ROOT, env=environment(settings), stderr=subprocess.PIPE, text=True)
    assert started.stderr is not None
    try:
        port = next(
            found[1] for line in started.stderr if (found := re.search(r"listening on http://\S+:(\d+)$", line))
        )
        assert any("ready: " in line for line in started.stderr)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
            yield started, client
    finally:
        started.kill()
        started.stderr.close()
        started.wait()
