"""SIGTERM with requests in flight: each one is answered. SIGKILL is the negative control."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from load_tests.client import BrokenAnswer, Connections
from load_tests.fire.overload import LONG_DEADLINE_S, WARM, calls_of
from load_tests.fire.process import Started, started
from load_tests.fire.result import Result, Size
from load_tests.payloads import Call
from load_tests.warm_lists import warm


async def shutdown(bundle: Path, size: Size) -> list[Result]:
    """One result."""
    failures = [await _stopped(bundle, size.in_flight, signal.SIGTERM) for _ in range(size.stops)]
    killed = await _stopped(bundle, size.in_flight, signal.SIGKILL)
    failed, total = sum(failures), size.stops * size.in_flight
    return [
        Result(
            f"SIGTERM with {size.in_flight} in flight, {size.stops} times",
            "0 failed",
            f"{failed} of {total}",
            failed == 0,
            f"kill -9: {killed} of {size.in_flight}",
            killed > 0,
        )
    ]


async def _stopped(bundle: Path, in_flight: int, stop: signal.Signals) -> int:
    """Number of requests in flight that were not answered 200."""
    async with started(bundle=bundle, max_backlog_s=600) as service, Connections(service.url) as connections:
        await warm(service.url, WARM)
        files = service.open_files()
        calls = islice(calls_of(0, LONG_DEADLINE_S), in_flight)
        tasks = [asyncio.create_task(_post(connections, each)) for each in calls]
        await _wait_until_in_flight(service, files, tasks)
        service.process.send_signal(stop)
        return in_flight - sum(await asyncio.gather(*tasks))


async def _post(connections: Connections, request: Call) -> bool:
    try:
        return (await connections.post(request.path, request.body, request.headers)).status == 200
    except (OSError, BrokenAnswer):
        return False


async def _wait_until_in_flight(service: Started, files: int, tasks: Sequence[asyncio.Task[bool]]) -> None:
    """Wait, at most 5 s, until the service has accepted a connection for each task that is not done."""
    for _ in range(250):
        if service.open_files() - files + sum(task.done() for task in tasks) >= len(tasks):
            return
        await asyncio.sleep(0.02)
