"""The LMDB store: acknowledged puts survive kill -9, damaged entries are missing, expired entries make room."""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from models.errors import NoRoom
from service.store.lmdb_store import LmdbTextStore
from tests.support.fakes import Clock
from tests.support.waiting import PATIENCE_S, eventually

PLENTY = 16 << 20
SPAWN = multiprocessing.get_context("spawn")


def test_candidates_survive_reopening_and_still_expire(tmp_path: Path) -> None:
    clock = Clock()
    store = LmdbTextStore(tmp_path, PLENTY, clock)
    store.put({"a": "one", "b": {"title": "two", "pay": 2.0}}, ttl_s=10)
    store.put({"c": "three"})
    store.close()
    store = LmdbTextStore(tmp_path, PLENTY, clock)
    assert store.get_many(["a", "b", "c"]) == ["one", {"title": "two", "pay": 2.0}, "three"]
    clock.now += 10
    assert store.get_many(["a", "b", "c"]) == [None, None, "three"]
    assert store.sweep() == 2
    assert store.usage().entries == 1
    store.close()


def test_a_replaced_candidate_does_not_expire_with_the_old_one(tmp_path: Path) -> None:
    clock = Clock()
    store = LmdbTextStore(tmp_path, PLENTY, clock)
    store.put({"a": "short"}, ttl_s=10)
    store.put({"a": "for good"})
    clock.now += 10
    assert store.sweep() == 0
    assert store.get_many(["a"]) == ["for good"]
    store.close()


def test_a_put_that_does_not_fit_stores_nothing_and_expired_entries_make_room(tmp_path: Path) -> None:
    clock = Clock()
    store = LmdbTextStore(tmp_path, 1 << 20, clock)
    store.put({str(number): "x" * 10_000 for number in range(50)}, ttl_s=10)
    more = {f"more {number}": "x" * 10_000 for number in range(60)}
    with pytest.raises(NoRoom):
        store.put(more)
    assert store.get_many(list(more)) == [None] * 60
    clock.now += 10
    store.put(more)
    assert store.get_many(["0", "more 59"]) == [None, "x" * 10_000]
    store.close()


def test_an_entry_with_a_flipped_byte_is_missing(tmp_path: Path) -> None:
    store = LmdbTextStore(tmp_path, PLENTY)
    store.put({"a": "pastry chef", "b": "nurse"})
    store.close()
    data = (tmp_path / "data.mdb").read_bytes()
    (tmp_path / "data.mdb").write_bytes(data.replace(b"pastry chef", b"pastry chex"))
    store = LmdbTextStore(tmp_path, PLENTY)
    assert store.get_many(["a", "b"]) == [None, "nurse"]
    assert store.damaged == 1
    store.put({"a": "pastry chef"})
    assert store.get_many(["a"]) == ["pastry chef"]
    store.close()


def _write_many(folder: Path, sender: Connection) -> None:
    store = LmdbTextStore(folder, PLENTY)
    for number in range(10_000):
        store.put({f"{number}-{place}": f"text {number}" for place in range(5)}, ttl_s=1e6)
        sender.send(number)


def test_every_acknowledged_put_outlives_kill_9(tmp_path: Path) -> None:
    receiver, sender = SPAWN.Pipe(duplex=False)
    writer = SPAWN.Process(target=_write_many, args=(tmp_path, sender))
    writer.start()
    sender.close()
    eventually(lambda: receiver.poll(PATIENCE_S) and receiver.recv() >= 15)
    writer.kill()
    writer.join()
    store = LmdbTextStore(tmp_path, PLENTY)
    for number in range(16):
        assert store.get_many([f"{number}-{place}" for place in range(5)]) == [f"text {number}"] * 5
    store.close()
