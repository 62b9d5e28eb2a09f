"""The Redis store is shared by replicas, rejects puts when full, and recovers after an outage."""

from collections.abc import Iterator

import numpy as np
import pytest

from models.errors import NoRoom, StoreDown
from models.slots.codec import Slots, content_key, model_key
from service.settings import StoreSettings
from service.store.factory import Store, open_store
from service.store.redis_store import TEXTS, RedisSlotStore, RedisTextStore
from service.store.tiering import Breakers
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.process

MODEL = model_key(b"model")


def slots_of(number: int) -> Slots:
    return np.full((4, 32), number, dtype=np.float16)


def open_at(url: str) -> Store:
    return open_store(StoreSettings.model_validate({"store": url, "slots_bytes": 1}))


@pytest.fixture
def server(redis_server: RedisServer) -> Iterator[RedisServer]:
    yield redis_server
    client = redis_server.client()
    client.config_set("maxmemory", "0")
    client.flushall()


def test_a_put_of_one_replica_is_visible_to_another(server: RedisServer) -> None:
    one, other = open_at(server.url), open_at(server.url)
    key = content_key(MODEL, "nurse")
    one.texts.put({"j-1": {"title": "nurse"}})
    one.slots.put_many({key: slots_of(3)})
    assert other.texts.get_many(["j-1"]) == [{"title": "nurse"}]
    (found,) = other.slots.get_many([key])
    assert found is not None
    np.testing.assert_array_equal(found, slots_of(3))
    assert other.texts.delete("j-1")
    assert one.texts.get_many(["j-1"]) == [None]
    one.close()
    other.close()


def test_a_full_server_rejects_the_whole_put(server: RedisServer) -> None:
    texts = RedisTextStore(server.client())
    texts.put({"j-1": "old"})
    server.client().config_set("maxmemory", "1mb")
    with pytest.raises(NoRoom):
        texts.put({"j-1": "new", "j-2": "nurse"})
    with pytest.raises(NoRoom):
        RedisSlotStore(server.client()).put_many({content_key(MODEL, "nurse"): slots_of(1)})
    assert texts.get_many(["j-1", "j-2"]) == ["old", None]


def test_the_server_also_deletes_expired_texts(server: RedisServer) -> None:
    texts = RedisTextStore(server.client())
    texts.put({"j-1": "nurse"}, ttl_s=60)
    texts.put({"j-2": "nurse"})
    (ttls,) = [sorted(map(server.client().pttl, server.client().keys(TEXTS + b"*")))]
    assert ttls[0] == -1
    assert 0 < ttls[1] <= 60_000


def test_an_overwritten_entry_is_missing_and_counted_as_damaged(server: RedisServer) -> None:
    texts, slots, key = RedisTextStore(server.client()), RedisSlotStore(server.client()), content_key(MODEL, "nurse")
    texts.put({"j-1": "nurse"})
    slots.put_many({key: slots_of(1)})
    for each in server.client().keys("*"):
        server.client().setrange(each, 20, b"?")
    assert texts.get_many(["j-1"]) == [None]
    assert slots.get_many([key]) == [None]
    assert (texts.damaged, slots.damaged) == (1, 1)


def test_the_store_recovers_after_an_outage_of_the_server(redis_binary: str) -> None:
    server = RedisServer(redis_binary)
    server.start()
    client = server.client()
    store = Store(RedisTextStore(client), 10_000, RedisSlotStore(client), Breakers(open_s=0.0))
    key = content_key(MODEL, "nurse")
    store.texts.put({"j-1": "nurse"})
    store.slots.put_many({key: slots_of(1)})
    server.end()
    with pytest.raises(StoreDown):
        store.texts.get_many(["j-1"])
    with pytest.raises(StoreDown):
        store.texts.put({"j-2": "chef"})
    assert store.slots.get_many([content_key(MODEL, "chef")]) == [None]
    store.slots.put_many({key: slots_of(2)})
    store.maintain()
    assert not store.report().up
    server.start()
    store.texts.put({"j-1": "nurse"})
    store.slots.put_many({key: slots_of(3)})
    assert store.texts.get_many(["j-1"]) == ["nurse"]
    (found,) = RedisSlotStore(server.client()).get_many([key])
    assert found is not None
    np.testing.assert_array_equal(found, slots_of(3))
    assert store.report().up
    store.close()
    server.end()
