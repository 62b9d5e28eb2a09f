"""Request after request: memory, descriptors and threads stay where they were. A planted leak must be seen."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from load_tests.client import Connections
from load_tests.fire.process import SERVICE, started
from load_tests.fire.result import Figure, Size

LEAKING = (sys.executable, "-m", "load_tests.fire.leaking")
MOST_MB = 1.0
CLIENTS = 8
SAMPLES = 40
FEWEST_SAMPLES = 8
BODIES = [
    json.dumps({"member": {"text": "chef"}, "candidates": [{"id": "a", "text": f"nurse {number}"}]}).encode()
    for number in range(50)
]


async def memory(bundle: Path, size: Size) -> list[Figure]:
    """One row; slopes are of the second half, when caches are full."""
    sound = await _growth(SERVICE, bundle, size.requests, size.most_s)
    leaking = await _growth(LEAKING, bundle, size.requests // 5, size.most_s / 3)
    flat = abs(sound.files) <= CLIENTS and sound.threads <= 0
    return [
        Figure(
            f"{sound.requests:,} requests: resident memory; descriptors, threads",
            f"<= {MOST_MB:.0f} MB per 100,000; flat",
            f"{sound.slope_mb:+.2f} MB; {sound.files:+d}, {sound.threads:+d}",
            sound.slope_mb <= MOST_MB and flat,
            f"a leak of 1 KiB a request: {leaking.slope_mb:+.1f} MB",
            leaking.slope_mb > MOST_MB,
        )
    ]


@dataclass(frozen=True, slots=True)
class Growth:
    """MB per 100,000 requests, and descriptors and threads gained, over the second half of them."""

    requests: int
    slope_mb: float
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the service, after so many requests."""

    requests: int
    resident_mb: float
    files: int
    threads: int


def growth_of(seen: Sequence[Seen]) -> Growth:
    """Of the second half, when caches are full."""
    late = seen[len(seen) // 2 :]
    slope = np.polyfit([each.requests for each in late], [each.resident_mb for each in late], 1)[0]
    files, threads = late[-1].files - late[0].files, late[-1].threads - late[0].threads
    return Growth(seen[-1].requests, float(slope) * 100_000, files, threads)


async def _growth(command: Sequence[str], bundle: Path, requests: int, most_s: float) -> Growth:
    """Looked at so often over so many requests, or so many seconds."""
    seen: list[Seen] = []
    done, each = 0, max(1, requests // SAMPLES // CLIENTS)
    end = time.monotonic() + most_s
    async with started(command, bundle=bundle) as service, Connections(service.url) as connections:
        while done < requests and (time.monotonic() < end or len(seen) < FEWEST_SAMPLES):
            next_look = time.monotonic() + most_s / SAMPLES
            turns = (_client(connections, each, next_look) for _ in range(CLIENTS))
            done += sum(await asyncio.gather(*turns))
            seen.append(Seen(done, service.resident_bytes() / 1e6, service.open_files(), service.threads()))
    return growth_of(seen)


async def _client(connections: Connections, num: int, end: float) -> int:
    """Ask so often, or until then; how often it was."""
    for turn in range(num):
        await connections.post("/score", BODIES[turn % len(BODIES)])
        if time.monotonic() >= end:
            return turn + 1
    return num
