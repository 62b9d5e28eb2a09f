"""Writes slots to the store in a thread of its own, so that the event loop never waits for a disk or a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from models.slots.codec import Slots
from service.store.interface import SlotStore


class SlotWriter:
    """`failed()` is called for a write that the store refuses. The store is a cache: the slots are already used.

    `then()` is called in the same thread after each write.
    """

    def __init__(self, store: SlotStore, failed: Callable[[], None], then: Callable[[], None] = lambda: None) -> None:
        self._then = then
        self._store = store
        self._failed = failed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    async def keep(self, slots: Mapping[bytes, Slots]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, slots)
        except Exception:  # A store may raise anything.
            self._failed()

    def _write(self, slots: Mapping[bytes, Slots]) -> None:
        self._store.put_many(slots)
        self._then()

    def close(self) -> None:
        """Finish the present write, then end: a store must not be closed during a write."""
        self._thread.shutdown(wait=True, cancel_futures=True)
