"""Single flight: concurrent requests for one text share a call, and no request depends on the deadline of another."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.text import TokenIds
from service.batching.deadline_queue import DeadlineQueue
from service.batching.engine import Engine, EngineDead
from service.batching.jobs import NoResult, Operation
from service.batching.latency_model import LatencyTable
from service.batching.packing import BatchPolicy
from service.encoding.single_flight import Encoded, SingleFlight
from tests.support.batching import RecordingObserver
from tests.support.waiting import PATIENCE_S, eventually_here

A, B = b"a", b"b"
MANY = [bytes([number]) for number in range(10, 18)]
TEXTS: dict[bytes, TokenIds] = {
    A: np.array([1], dtype=np.int32),
    B: np.array([2, 2], dtype=np.int32),
    **{key: np.array([key[0]], dtype=np.int32) for key in MANY},
}


class Halving:
    """Halves each number; `spoil` becomes NaN. The gate holds each run until it is opened."""

    def __init__(self, spoil: int = 0) -> None:
        policy = BatchPolicy(LatencyTable((1,), (1,), ((1e-6,),)), max_batch_tokens=100, max_batch_s=1.0)
        self.operation = Operation("member", policy, self.run, lambda each: bool(np.isfinite(each).all()))
        self.runs: list[list[int]] = []
        self.began, self.gate = threading.Event(), threading.Event()
        self._spoil = spoil

    def run(self, payloads: Sequence[TokenIds]) -> Sequence[NDArray[np.float64]]:
        self.runs.append([int(ids[0]) for ids in payloads])
        self.began.set()
        assert self.gate.wait(PATIENCE_S)
        return [np.where(ids == self._spoil, np.nan, ids / 2) for ids in payloads]


@dataclass
class Shelf:
    """Keeps results, once it is allowed to."""

    may: asyncio.Event = field(default_factory=asyncio.Event)
    kept: dict[bytes, Any] = field(default_factory=dict)

    async def keep(self, results: Mapping[bytes, Any]) -> None:
        await self.may.wait()
        self.kept.update(results)


@asynccontextmanager
async def encoding(shelf: Shelf) -> AsyncIterator[tuple[SingleFlight, Engine]]:
    engine = Engine(DeadlineQueue(max_overtake_s=1.0), observer=RecordingObserver())
    await engine.start()
    try:
        yield SingleFlight(engine, shelf.keep), engine
    finally:
        shelf.may.set()
        await asyncio.wait_for(engine.stop(), PATIENCE_S)


def ask(through: SingleFlight, operation: Halving, *keys: bytes, seconds: float = PATIENCE_S) -> asyncio.Task[Encoded]:
    now = time.monotonic()
    wanted = {key: TEXTS[key] for key in keys}
    return asyncio.ensure_future(through.encode(operation.operation, wanted, arrived=now, deadline=now + seconds))


def numbers(encoded: Encoded) -> dict[bytes, float | NoResult]:
    return {key: each if isinstance(each, NoResult) else float(each[0]) for key, each in encoded.results.items()}


async def run_began(operation: Halving) -> None:
    assert await asyncio.to_thread(operation.began.wait, PATIENCE_S)


def playing(play: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        await asyncio.wait_for(play(), PATIENCE_S)

    asyncio.run(in_time())


def test_a_request_for_a_running_key_waits_for_that_call() -> None:
    async def play() -> None:
        operation, shelf = Halving(), Shelf()
        async with encoding(shelf) as (through, _):
            first = ask(through, operation, A)
            await run_began(operation)
            second = ask(through, operation, A, B)
            await asyncio.sleep(0)
            operation.gate.set()
            assert numbers(await first) == {A: 0.5}
            assert numbers(await second) == {A: 0.5, B: 1.0}
        assert operation.runs == [[1], [2]]

    playing(play)


def test_one_request_may_wait_for_many_calls_of_others_and_one_of_its_own() -> None:
    async def play() -> None:
        operation, shelf = Halving(), Shelf()
        async with encoding(shelf) as (through, _):
            others = [ask(through, operation, key) for key in MANY]
            await run_began(operation)
            everything = ask(through, operation, A, *MANY)
            await asyncio.sleep(0)
            operation.gate.set()
            await asyncio.gather(*others)
            assert numbers(await everything) == {A: 0.5, **{key: float(TEXTS[key][0]) / 2 for key in MANY}}
        assert sorted(number for run in operation.runs for number in run) == [1, *range(10, 18)]

    playing(play)


def test_a_result_is_found_until_it_is_kept() -> None:
    async def play() -> None:
        operation, shelf = Halving(), Shelf()
        operation.gate.set()
        async with encoding(shelf) as (through, _):
            for _ in range(2):
                assert numbers(await ask(through, operation, A)) == {A: 0.5}
            assert shelf.kept == {}
            shelf.may.set()
            await eventually_here(lambda: not through._calls)
            assert {key: float(each[0]) for key, each in shelf.kept.items()} == {A: 0.5}
        assert operation.runs == [[1]]

    playing(play)


def test_a_key_that_was_late_for_one_request_is_repeated_for_another() -> None:
    async def play() -> None:
        operation, shelf = Halving(), Shelf()
        async with encoding(shelf) as (through, _):
            ask(through, operation, B)
            await run_began(operation)
            hasty = ask(through, operation, A, seconds=0.05)
            await asyncio.sleep(0)
            patient = ask(through, operation, A)
            assert numbers(await hasty) == {}
            operation.gate.set()
            assert numbers(await patient) == {A: 0.5}

    playing(play)


def test_a_call_that_no_request_waits_for_is_not_run() -> None:
    async def play() -> None:
        operation, shelf = Halving(), Shelf()
        async with encoding(shelf) as (through, _):
            busy = ask(through, operation, B)
            await run_began(operation)
            leaving = [ask(through, operation, A), ask(through, operation, A)]
            await asyncio.sleep(0)
            for task in leaving:
                task.cancel()
            await asyncio.wait(leaving)
            operation.gate.set()
            await busy
        assert operation.runs == [[2]]

    playing(play)


def test_a_result_that_is_not_finite_is_a_failure_and_never_kept() -> None:
    async def play() -> None:
        operation, shelf = Halving(spoil=1), Shelf()
        operation.gate.set()
        async with encoding(shelf) as (through, _):
            assert numbers(await ask(through, operation, A, B)) == {A: NoResult.failed, B: 1.0}
            shelf.may.set()
            await eventually_here(lambda: not through._calls)
        assert set(shelf.kept) == {B}

    playing(play)


def test_a_dead_engine_raises_for_every_waiting_request() -> None:
    async def play() -> None:
        operation = Halving()
        async with encoding(Shelf()) as (through, engine):
            waiting = [ask(through, operation, A), ask(through, operation, A, B)]
            await run_began(operation)
            engine.fail_all("a test says so")
            for task in waiting:
                with pytest.raises(EngineDead):
                    await task
            operation.gate.set()
            with pytest.raises(EngineDead):
                await ask(through, operation, A)

    playing(play)
