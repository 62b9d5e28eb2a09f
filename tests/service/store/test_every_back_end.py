"""After any sequence of operations every back end holds the same as a dictionary; time is simulated."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from models.slots.codec import Slots, content_key, model_key
from service.settings import StoreSettings
from service.store.factory import Store, open_store
from service.store.interface import Featured, Stored
from tests.support.fakes import Clock
from tests.support.redis_server import RedisServer

IDS = ["j-1", "j-2", "j\u00e9 3", "x" * 256, "\U0001f9c1"]
VALUES = st.one_of(
    st.text(max_size=20), st.lists(st.text(max_size=5), max_size=3), st.integers(-(2**53), 2**53), st.floats(-9, 9)
)
CONTENTS = st.one_of(st.text(max_size=40), st.dictionaries(st.sampled_from("title skills pay".split()), VALUES))
NUMBERS = st.dictionaries(st.sampled_from(["price", "km"]), st.floats(-1e9, 1e9), min_size=1)
STORED = st.one_of(CONTENTS, st.builds(Featured, CONTENTS, NUMBERS))
MODELS = [model_key(b"old"), model_key(b"new")]
TEXTS = ["nurse", "pastry chef", ""]
FEW = settings(max_examples=4, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))
# No shrinking: detecting the fault is enough.
CONTROL = settings(FEW, max_examples=500, database=None, derandomize=True, phases=[Phase.generate])


class AsADictionary(RuleBasedStateMachine):
    """`spec` and `survives` are set for each back end."""

    spec: str
    survives: bool

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._clock = Clock()
        self._texts: dict[str, tuple[Stored, float]] = {}
        self._slots: dict[bytes, Slots] = {}
        self._store = self._open()

    def _open(self) -> Store:
        spec = self.spec.format(folder=Path(self._folder.name) / "store")
        sizes = {"store_bytes": 1 << 24, "slots_bytes": 1 << 20, "slots_file_bytes": 1 << 24}
        return open_store(StoreSettings.model_validate({"store": spec, **sizes}), self._clock)

    @rule(entries=st.dictionaries(st.sampled_from(IDS), STORED, min_size=1), ttl_s=st.sampled_from([None, 0.5, 10, 60]))
    def put(self, entries: dict[str, Stored], ttl_s: float | None) -> None:
        self._store.texts.put(entries, ttl_s)
        expires = float("inf") if ttl_s is None else self._clock.now + ttl_s
        self._texts.update({name: (content, expires) for name, content in entries.items()})

    @rule(name=st.sampled_from(IDS))
    def delete(self, name: str) -> None:
        _, expires = self._texts.pop(name, ("", 0.0))
        assert self._store.texts.delete(name) == (expires > self._clock.now)

    @rule(seconds=st.sampled_from([0.25, 9, 30]))
    def wait(self, seconds: float) -> None:
        self._clock.now += seconds

    @rule()
    def maintain(self) -> None:
        self._store.maintain()

    @rule(model=st.sampled_from(MODELS), text=st.sampled_from(TEXTS), seed=st.integers(0, 99))
    def put_slots(self, model: bytes, text: str, seed: int) -> None:
        slots = np.random.default_rng(seed).normal(size=(4, 8)).astype(np.float16)
        self._store.slots.put_many({content_key(model, text): slots})
        self._slots[content_key(model, text)] = slots

    @precondition(lambda self: self.survives)
    @rule(model=st.sampled_from(MODELS))
    def keep_only_after_reopening(self, model: bytes) -> None:
        self._store.keep_only([model])
        self._slots = {key: slots for key, slots in self._slots.items() if key.startswith(model)}
        self.reopen()  # memory still holds dropped slots until then

    @precondition(lambda self: self.survives)
    @rule()
    def reopen(self) -> None:
        self._store.close()
        self._store = self._open()

    @invariant()
    def holds_what_the_dictionary_holds(self) -> None:
        live = {name: content for name, (content, expires) in self._texts.items() if expires > self._clock.now}
        assert self._store.texts.get_many([*IDS, "never"]) == [*map(live.get, IDS), None]
        pages = list(self._store.texts.pages(2))
        assert dict(entry for page in pages for entry in page) == live
        keys = [content_key(model, text) for model in MODELS for text in TEXTS]
        for found, expected in zip(self._store.slots.get_many(keys), map(self._slots.get, keys), strict=True):
            assert (found is None) == (expected is None)
            if found is not None and expected is not None:
                np.testing.assert_array_equal(found, expected)

    def teardown(self) -> None:
        self._store.close()
        self._folder.cleanup()


class InMemory(AsADictionary):
    spec, survives = "memory", False


class Embedded(AsADictionary):
    spec, survives = "lmdb:{folder}", True


@pytest.mark.parametrize("machine", [InMemory, Embedded])
def test_a_store_in_this_process_or_in_a_folder(machine: type[AsADictionary]) -> None:
    run_state_machine_as_test(machine, settings=FEW)


def test_a_store_in_redis(redis_server: RedisServer) -> None:
    class Remote(AsADictionary):
        spec, survives = redis_server.url, True

        def teardown(self) -> None:
            super().teardown()
            redis_server.client().flushall()

    run_state_machine_as_test(Remote, settings=FEW)


def test_the_machine_detects_a_store_without_expiry() -> None:
    class WithoutExpiry(InMemory):
        def _open(self) -> Store:
            return open_store(StoreSettings(), lambda: 0.0)

    with pytest.raises(AssertionError):
        run_state_machine_as_test(WithoutExpiry, settings=CONTROL)
