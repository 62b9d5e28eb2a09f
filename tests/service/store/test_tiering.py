"""While a back end is down, reads miss without calls to it; it is tried again later, and each outage is logged once."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pytest

from models.errors import NoRoom, StoreDown
from models.slots.codec import Slots, Usage
from service.store.factory import Store
from service.store.memory_store import MemoryTextStore
from service.store.tiering import OPEN_S, Breakers
from tests.support.fakes import Clock

KEYS = [bytes([number]) * 24 for number in range(4)]
SLOTS = np.ones((2, 8), dtype=np.float16)


class FakeBackEnd:
    """Keeps slots in a dictionary, raises a chosen exception, and counts its calls."""

    damaged = 0

    def __init__(self) -> None:
        self.entries: dict[bytes, Slots] = {}
        self.calls = 0
        self.raises: Exception | None = None
        self.put_raises: Exception | None = None

    def get_many(self, keys: Sequence[bytes]) -> list[Slots | None]:
        self._call()
        return [self.entries.get(key) for key in keys]

    def put_many(self, entries: Mapping[bytes, Slots]) -> None:
        self._call()
        if self.put_raises:
            raise self.put_raises
        self.entries.update(entries)

    def keep_only(self, models: Collection[bytes]) -> int:
        raise NotImplementedError

    def usage(self) -> Usage:
        return Usage(len(self.entries), 0)

    def close(self) -> None:
        pass

    def _call(self) -> None:
        self.calls += 1
        if self.raises:
            raise self.raises


@pytest.fixture
def back() -> FakeBackEnd:
    return FakeBackEnd()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(back: FakeBackEnd, clock: Clock) -> Store:
    return Store(MemoryTextStore(10_000), 100_000, back, Breakers(clock))


def there(store: Store, keys: Sequence[bytes] = KEYS) -> list[bool]:
    return [slots is not None for slots in store.slots.get_many(keys)]


def test_slots_that_were_read_once_come_from_memory(store: Store, back: FakeBackEnd) -> None:
    back.entries[KEYS[1]] = SLOTS
    assert there(store) == [False, True, False, False]
    assert there(store, KEYS[1:2]) == [True]
    assert back.calls == 1
    report = store.report()
    assert (report.memory_hits, report.store_hits, report.misses) == (1, 1, 3)


def test_while_the_back_end_is_down_reads_miss_without_calls(store: Store, back: FakeBackEnd) -> None:
    back.raises = StoreDown("gone")
    assert there(store) == [False] * 4
    store.slots.put_many({KEYS[0]: SLOTS})
    assert there(store) == [True, False, False, False]
    with pytest.raises(StoreDown):
        store.texts.get_many(["a"])
    assert back.calls == 1
    assert not store.report().up


def test_the_back_end_is_tried_again_and_each_outage_is_logged_once(
    store: Store, back: FakeBackEnd, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    back.raises = StoreDown("gone")
    for _ in range(3):
        there(store)
        clock.now += OPEN_S
    back.raises = None
    back.entries[KEYS[2]] = SLOTS
    assert there(store) == [False, False, True, False]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert store.report().errors == 3
    assert store.report().up


def test_a_full_back_end_is_logged_once_and_slots_stay_in_memory(
    store: Store, back: FakeBackEnd, caplog: pytest.LogCaptureFixture
) -> None:
    back.raises = NoRoom("no room")
    store.slots.put_many({KEYS[0]: SLOTS})
    store.slots.put_many({KEYS[1]: SLOTS})
    back.raises = None
    assert there(store) == [True, True, False, False]
    assert store.report().up
    assert len(caplog.records) == 1


def test_a_back_end_that_cannot_be_written_is_still_read(store: Store, back: FakeBackEnd, clock: Clock) -> None:
    back.entries[KEYS[3]] = SLOTS
    back.put_raises = StoreDown("read-only")
    for _ in range(3):
        store.slots.put_many({KEYS[0]: SLOTS})
    assert (back.calls, store.report().errors, store.report().up) == (1, 1, False)
    assert there(store, KEYS[2:]) == [False, True]
    back.put_raises = None
    clock.now += OPEN_S
    store.slots.put_many({KEYS[1]: SLOTS})
    assert (KEYS[1] in back.entries, store.report().up) == (True, True)
