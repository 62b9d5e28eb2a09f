"""The memory store rejects texts that do not fit; its slots stay within their bytes and keep the popular ones."""

import numpy as np
import pytest

from models.errors import NoRoom
from models.slots.codec import Slots
from service.store.memory_store import MemorySlotStore, MemoryTextStore
from tests.support.fakes import Clock


def slots_of(number: int) -> Slots:
    return np.full((4, 32), number, dtype=np.float16)


def key_of(number: int) -> bytes:
    return number.to_bytes(24, "big")


def test_a_candidate_is_stored_replaced_and_deleted() -> None:
    store = MemoryTextStore(10_000)
    store.put({"a": "one", "b": {"title": "two"}})
    store.put({"a": "three"})
    assert store.get_many(["a", "b", "c"]) == ["three", {"title": "two"}, None]
    assert store.delete("a")
    assert not store.delete("a")
    assert store.usage().entries == 1


def test_usage_depends_only_on_the_stored_entries() -> None:
    store, other = MemoryTextStore(10_000), MemoryTextStore(10_000)
    store.put({"a": "x" * 500, "b": "y"})
    store.put({"a": "z"})
    store.delete("b")
    other.put({"a": "z"})
    assert store.usage() == other.usage()
    store.delete("a")
    assert store.usage().bytes == 0


def test_a_put_that_does_not_fit_stores_nothing() -> None:
    store = MemoryTextStore(1000)
    store.put({"a": "old"})
    with pytest.raises(NoRoom):
        store.put({"a": "new", "b": "x" * 1000})
    assert store.get_many(["a", "b"]) == ["old", None]
    store.put({"a": "x" * 500})


def test_a_candidate_expires_after_its_ttl() -> None:
    clock = Clock()
    store = MemoryTextStore(10_000, clock)
    store.put({"a": "short"}, ttl_s=10)
    store.put({"b": "for good"})
    clock.now += 9.9
    assert store.get_many(["a", "b"]) == ["short", "for good"]
    clock.now += 0.1
    assert store.get_many(["a", "b"]) == [None, "for good"]
    assert not store.delete("a")


def test_expired_candidates_make_room_on_demand_and_in_a_sweep() -> None:
    clock = Clock()
    store = MemoryTextStore(1000, clock)
    store.put({"a": "x" * 700}, ttl_s=10)
    clock.now += 10
    store.put({"b": "x" * 700}, ttl_s=10)
    clock.now += 10
    assert store.sweep() == 1
    assert store.usage().bytes == 0


def test_slots_are_found_under_their_key_and_cannot_be_changed() -> None:
    store = MemorySlotStore(100_000)
    batch = np.stack([slots_of(1), slots_of(2)])
    store.put_many({key_of(1): batch[0], key_of(2): batch[1]})
    batch[:] = 9
    found = store.get_many([key_of(2), key_of(3), key_of(1)])
    assert [None if each is None else each[0, 0] for each in found] == [2, None, 1]
    assert not any(each is not None and each.flags.writeable for each in found)


def test_stored_slots_do_not_keep_their_batch_in_memory() -> None:
    store = MemorySlotStore(100_000)
    store.put_many({key_of(1): np.zeros((100, 4, 32), dtype=np.float16)[0]})
    (found,) = store.get_many([key_of(1)])
    assert found is not None
    assert found.base is None


def test_slots_stay_within_their_bytes_and_popular_slots_stay() -> None:
    store = MemorySlotStore(20_000)
    often = [key_of(number) for number in range(10)]
    store.put_many({key: slots_of(1) for key in often})
    for _ in range(20):
        store.get_many(often)
    for number in range(100, 1100):
        store.put_many({key_of(number): slots_of(2)})
    assert store.usage().bytes <= 20_000
    assert sum(each is not None for each in store.get_many(often)) >= 9
