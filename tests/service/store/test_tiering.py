"""A back end that is down costs nothing but misses, is asked again after a rest, and is told of once each time."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pytest

from models.errors import NoRoom, StoreDown
from models.slots.codec import Slots, Usage
from service.store.factory import Store
from service.store.memory_store import MemorySlotStore, MemoryTextStore
from service.store.tiering import OPEN_S, CircuitBreaker
from tests.support.fakes import Clock

KEYS = [bytes([number]) * 24 for number in range(4)]
SLOTS = np.ones((2, 8), dtype=np.float16)


class Shelf:
    """Keeps slots in a dictionary; raises what it is told to, and counts how often it was asked."""

    damaged = 0

    def __init__(self) -> None:
        self.entries: dict[bytes, Slots] = {}
        self.asked = 0
        self.raises: Exception | None = None

    def get_many(self, keys: Sequence[bytes]) -> list[Slots | None]:
        self._ask()
        return [self.entries.get(key) for key in keys]

    def put_many(self, entries: Mapping[bytes, Slots]) -> None:
        self._ask()
        self.entries.update(entries)

    def keep_only(self, models: Collection[bytes]) -> int:
        raise NotImplementedError

    def usage(self) -> Usage:
        return Usage(len(self.entries), 0)

    def close(self) -> None:
        pass

    def _ask(self) -> None:
        self.asked += 1
        if self.raises:
            raise self.raises


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(shelf: Shelf, clock: Clock) -> Store:
    return Store(MemoryTextStore(10_000), MemorySlotStore(100_000), shelf, CircuitBreaker(clock))


def there(store: Store, keys: Sequence[bytes] = KEYS) -> list[bool]:
    return [slots is not None for slots in store.slots.get_many(keys)]


def test_what_was_read_once_is_read_from_memory(store: Store, shelf: Shelf) -> None:
    shelf.entries[KEYS[1]] = SLOTS
    assert there(store) == [False, True, False, False]
    assert there(store, KEYS[1:2]) == [True]
    assert shelf.asked == 1
    report = store.report()
    assert (report.memory_hits, report.store_hits, report.misses) == (1, 1, 3)


def test_while_it_is_down_reads_are_misses_and_it_is_left_alone(store: Store, shelf: Shelf) -> None:
    shelf.raises = StoreDown("gone")
    assert there(store) == [False] * 4
    store.slots.put_many({KEYS[0]: SLOTS})
    assert there(store) == [True, False, False, False]
    with pytest.raises(StoreDown):
        store.texts.get_many(["a"])
    assert shelf.asked == 1
    assert not store.report().up


def test_it_is_asked_again_after_a_rest_and_told_of_once(
    store: Store, shelf: Shelf, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    shelf.raises = StoreDown("gone")
    for _ in range(3):
        there(store)
        clock.now += OPEN_S
    shelf.raises = None
    shelf.entries[KEYS[2]] = SLOTS
    assert there(store) == [False, False, True, False]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert store.report().errors == 3
    assert store.report().up


def test_a_full_back_end_is_told_of_once_and_slots_stay_in_memory(
    store: Store, shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.raises = NoRoom("no room")
    store.slots.put_many({KEYS[0]: SLOTS})
    store.slots.put_many({KEYS[1]: SLOTS})
    shelf.raises = None
    assert there(store) == [True, True, False, False]
    assert store.report().up
    assert len(caplog.records) == 1
