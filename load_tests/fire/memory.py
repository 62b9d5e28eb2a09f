"""Memory, file descriptors and threads do not grow with requests. The control is a planted leak."""

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
from load_tests.fire.result import Result, Size

LEAKING = (sys.executable, "-m", "load_tests.fire.leaking")
MAX_MB = 1.0
CLIENTS = 8
SAMPLES = 40
MIN_SAMPLES = 8
BODIES = [
    json.dumps({"member": {"text": "chef"}, "candidates": [{"id": "a", "text": f"nurse {number}"}]}).encode()
    for number in range(50)
]


async def memory(bundle: Path, size: Size) -> list[Result]:
    """One result. Slopes are of the second half, when caches are full."""
    measured = await _growth(SERVICE, bundle, size.requests, size.max_s)
    leaking = await _growth(LEAKING, bundle, size.requests // 5, size.max_s / 3)
    flat = abs(measured.files) <= CLIENTS and measured.threads <= 0
    return [
        Result(
            f"{measured.requests:,} requests: growth of memory; descriptors, threads",
            f"<= {MAX_MB:.0f} MB per 100,000; flat",
            f"{measured.slope_mb:+.2f} MB; {measured.files:+d}, {measured.threads:+d}",
            measured.slope_mb <= MAX_MB and flat,
            f"a leak of 1 KiB a request: {leaking.slope_mb:+.1f} MB",
            leaking.slope_mb > MAX_MB,
        )
    ]


@dataclass(frozen=True, slots=True)
class Growth:
    """MB per 100,000 requests, and gained descriptors and threads, over the second half of the requests."""

    requests: int
    slope_mb: float
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The process after `requests` requests."""

    requests: int
    resident_mb: float
    files: int
    threads: int


def growth_of(snapshots: Sequence[Snapshot]) -> Growth:
    """Growth in the second half, when caches are full."""
    late = snapshots[len(snapshots) // 2 :]
    slope = np.polyfit([each.requests for each in late], [each.resident_mb for each in late], 1)[0]
    files, threads = late[-1].files - late[0].files, late[-1].threads - late[0].threads
    return Growth(snapshots[-1].requests, float(slope) * 100_000, files, threads)


async def _growth(command: Sequence[str], bundle: Path, requests: int, max_s: float) -> Growth:
    """Takes snapshots over `requests` requests or `max_s` seconds."""
    snapshots: list[Snapshot] = []
    done, each = 0, max(1, requests // SAMPLES // CLIENTS)
    end = time.monotonic() + max_s
    async with started(command, bundle=bundle) as service, Connections(service.url) as connections:
        while done < requests and (time.monotonic() < end or len(snapshots) < MIN_SAMPLES):
            next_snapshot = time.monotonic() + max_s / SAMPLES
            turns = (_client(connections, each, next_snapshot) for _ in range(CLIENTS))
            done += sum(await asyncio.gather(*turns))
            snapshots.append(Snapshot(done, service.resident_bytes() / 1e6, service.open_files(), service.threads()))
    return growth_of(snapshots)


async def _client(connections: Connections, num: int, end: float) -> int:
    """Send `num` requests, or until `end`; returns how many were sent."""
    for turn in range(num):
        await connections.post("/score", BODIES[turn % len(BODIES)])
        if time.monotonic() >= end:
            return turn + 1
    return num
