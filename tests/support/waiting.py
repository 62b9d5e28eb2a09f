"""Bounded waits for what another thread, task or process does."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 60.0
"""The bound of a wait that a healthy run never reaches, on a machine under load."""
POLL_S = 0.005
T = TypeVar("T")


def eventually(found: Callable[[], T], *, within: float = PATIENCE_S / 2) -> T:
    """The first true result of `found`; fails after `within` seconds with its last result."""
    end = time.monotonic() + within
    while not (result := found()):
        assert time.monotonic() < end, f"not within {within:g} s; last: {result!r}"
        time.sleep(POLL_S)
    return result


async def eventually_here(found: Callable[[], T], *, within: float = PATIENCE_S / 2) -> T:
    """`eventually` for a test that runs in the event loop itself."""
    end = time.monotonic() + within
    while not (result := found()):
        assert time.monotonic() < end, f"not within {within:g} s; last: {result!r}"
        await asyncio.sleep(POLL_S)
    return result
