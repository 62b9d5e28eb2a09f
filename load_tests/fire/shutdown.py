"""SIGTERM while requests are in flight: each of them is answered. SIGKILL is the negative control."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from load_tests.client import BrokenAnswer, Connections
from load_tests.fire.overload import OPEN_S, WARM, calls_of
from load_tests.fire.process import Started, started
from load_tests.fire.result import Figure, Size
from load_tests.payloads import Call
from load_tests.warm_lists import warm


async def ending(bundle: Path, size: Size) -> list[Figure]:
    """One row."""
    told = [await _ended(bundle, size.in_flight, signal.SIGTERM) for _ in range(size.stops)]
    killed = await _ended(bundle, size.in_flight, signal.SIGKILL)
    failed, total = sum(told), size.stops * size.in_flight
    return [
        Figure(
            f"SIGTERM with {size.in_flight} in flight, {size.stops} times",
            "0 failed",
            f"{failed} of {total}",
            failed == 0,
            f"kill -9: {killed} of {size.in_flight}",
            killed > 0,
        )
    ]


async def _ended(bundle: Path, in_flight: int, sign: signal.Signals) -> int:
    """How many of the requests in flight were not answered 200."""
    async with started(bundle=bundle, max_backlog_s=600) as service, Connections(service.url) as connections:
        await warm(service.url, WARM)
        files = service.open_files()
        calls = islice(calls_of(0, OPEN_S), in_flight)
        asked = [asyncio.create_task(_ask(connections, each)) for each in calls]
        await _all_in(service, files, asked)
        service.process.send_signal(sign)
        return in_flight - sum(await asyncio.gather(*asked))


async def _ask(connections: Connections, request: Call) -> bool:
    try:
        return (await connections.post(request.path, request.body, request.headers)).status == 200
    except (OSError, BrokenAnswer):
        return False


async def _all_in(service: Started, files: int, asked: Sequence[asyncio.Task[bool]]) -> None:
    """Until each has a connection that the service has taken, or is answered already; for some seconds at most."""
    for _ in range(250):
        if service.open_files() - files + sum(task.done() for task in asked) >= len(asked):
            return
        await asyncio.sleep(0.02)
