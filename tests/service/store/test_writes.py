"""Bounded writes: a store's errors become the service's, and few writes run at once."""

import asyncio
import threading
from collections.abc import Mapping

import pytest

from models.errors import StoreDown
from service.errors import StoreFull, StoreUnavailable
from service.store.interface import Stored
from service.store.memory_store import MemoryTextStore
from service.store.writes import BoundedWriter
from tests.support.waiting import PATIENCE_S, eventually_here


class GatedStore(MemoryTextStore):
    """Writes wait for the gate."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.gate = threading.Event()
        self.num_begun = 0

    def put(self, entries: Mapping[str, Stored], ttl_s: float | None = None) -> None:
        self.num_begun += 1
        assert self.gate.wait(PATIENCE_S)
        super().put(entries, ttl_s)


class BrokenStore(MemoryTextStore):
    def delete(self, candidate_id: str) -> bool:
        raise StoreDown("test")


def test_a_further_write_is_refused_while_too_many_are_in_progress() -> None:
    async def play() -> None:
        store = GatedStore()
        writer = BoundedWriter(store, max_writes=2)
        running = [asyncio.create_task(writer.put({name: "chef"}, None)) for name in "ab"]
        await eventually_here(lambda: store.num_begun == 2)
        with pytest.raises(StoreUnavailable, match="too many writes") as refused:
            await writer.put({"c": "chef"}, None)
        assert refused.value.retry_after_s == 1.0
        store.gate.set()
        await asyncio.gather(*running)
        await writer.put({"c": "chef"}, None)
        assert store.get_many(["a", "b", "c"]) == ["chef"] * 3

    asyncio.run(play())


def test_a_full_store_and_a_store_that_is_down_are_errors_of_the_service() -> None:
    with pytest.raises(StoreFull):
        asyncio.run(BoundedWriter(MemoryTextStore(10)).put({"a": "chef " * 100}, None))
    with pytest.raises(StoreUnavailable):
        asyncio.run(BoundedWriter(BrokenStore(1 << 20)).delete("a"))
