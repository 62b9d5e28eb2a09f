"""Single flight: each text is encoded once however many ask, and nobody's fate hangs on another's patience."""

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
from service.batching.jobs import NoResult
from service.batching.latency_model import BatchPolicy, LatencyTable
from service.encoding.single_flight import Encoded, SingleFlight
from tests.support.batching import Told
from tests.support.waiting import PATIENCE_S, eventually_here

A, B = b"a", b"b"
MANY = [bytes([number]) for number in range(10, 18)]
TEXTS: dict[bytes, TokenIds] = {
    A: np.array([1], dtype=np.int32),
    B: np.array([2, 2], dtype=np.int32),
    **{key: np.array([key[0]], dtype=np.int32) for key in MANY},
}


class Halving:
    """Half of each number; what `spoil` names becomes NaN. The gate holds each run until it is opened."""

    name, leads_on = "member", True
    packing = BatchPolicy(LatencyTable((1,), (1,), ((1e-6,),)), max_batch_tokens=100, max_batch_s=1.0)

    def __init__(self, spoil: int = 0) -> None:
        self.runs: list[list[int]] = []
        self.began, self.gate = threading.Event(), threading.Event()
        self._spoil = spoil

    def run(self, payloads: Sequence[TokenIds]) -> Sequence[NDArray[np.float64]]:
        self.runs.append([int(ids[0]) for ids in payloads])
        self.began.set()
        assert self.gate.wait(PATIENCE_S)
        return [np.where(ids == self._spoil, np.nan, ids / 2) for ids in payloads]

    def sound(self, result: NDArray[np.float64]) -> bool:
        return bool(np.isfinite(result).all())

    def halves(self, payload: Any) -> Sequence[Any]:
        return ()

    def join(self, halves: Sequence[Any], results: Sequence[Any]) -> Any:
        raise NotImplementedError


@dataclass
class Shelf:
    """Keeps results, once it may."""

    may: asyncio.Event = field(default_factory=asyncio.Event)
    kept: dict[bytes, Any] = field(default_factory=dict)

    async def keep(self, results: Mapping[bytes, Any]) -> None:
        await self.may.wait()
        self.kept.update(results)


@asynccontextmanager
async def encoding(shelf: Shelf) -> AsyncIterator[tuple[SingleFlight, Engine]]:
    engine = Engine(DeadlineQueue(patience_s=1.0), observer=Told())
    await engine.start()
    try:
        yield SingleFlight(engine, shelf.keep), engine
    finally:
        shelf.may.set()
        await asyncio.wait_for(engine.stop(), PATIENCE_S)


def ask(through: SingleFlight, lane: Halving, *keys: bytes, seconds: float = PATIENCE_S) -> asyncio.Task[Encoded]:
    now = time.monotonic()
    wanted = {key: TEXTS[key] for key in keys}
    return asyncio.ensure_future(through.encode(lane, wanted, arrived=now, deadline=now + seconds))


def numbers(encoded: Encoded) -> dict[bytes, float | NoResult]:
    return {key: each if isinstance(each, NoResult) else float(each[0]) for key, each in encoded.results.items()}


async def run_began(lane: Halving) -> None:
    assert await asyncio.to_thread(lane.began.wait, PATIENCE_S)


def playing(play: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        await asyncio.wait_for(play(), PATIENCE_S)

    asyncio.run(in_time())


def test_who_asks_for_what_is_under_way_waits_for_that() -> None:
    async def play() -> None:
        lane, shelf = Halving(), Shelf()
        async with encoding(shelf) as (through, _):
            first = ask(through, lane, A)
            await run_began(lane)
            second = ask(through, lane, A, B)
            await asyncio.sleep(0)
            lane.gate.set()
            assert numbers(await first) == {A: 0.5}
            assert numbers(await second) == {A: 0.5, B: 1.0}
        assert lane.runs == [[1], [2]]

    playing(play)


def test_one_may_wait_for_many_flights_of_others_and_one_of_its_own() -> None:
    async def play() -> None:
        lane, shelf = Halving(), Shelf()
        async with encoding(shelf) as (through, _):
            others = [ask(through, lane, key) for key in MANY]
            await run_began(lane)
            everything = ask(through, lane, A, *MANY)
            await asyncio.sleep(0)
            lane.gate.set()
            await asyncio.gather(*others)
            assert numbers(await everything) == {A: 0.5, **{key: float(TEXTS[key][0]) / 2 for key in MANY}}
        assert sorted(number for run in lane.runs for number in run) == [1, *range(10, 18)]

    playing(play)


def test_a_result_is_found_here_until_it_is_kept() -> None:
    async def play() -> None:
        lane, shelf = Halving(), Shelf()
        lane.gate.set()
        async with encoding(shelf) as (through, _):
            for _ in range(2):
                assert numbers(await ask(through, lane, A)) == {A: 0.5}
            assert shelf.kept == {}
            shelf.may.set()
            await eventually_here(lambda: not through._flights)
            assert {key: float(each[0]) for key, each in shelf.kept.items()} == {A: 0.5}
        assert lane.runs == [[1]]

    playing(play)


def test_what_is_late_for_one_is_begun_again_for_another() -> None:
    async def play() -> None:
        lane, shelf = Halving(), Shelf()
        async with encoding(shelf) as (through, _):
            ask(through, lane, B)
            await run_began(lane)
            hasty = ask(through, lane, A, seconds=0.05)
            await asyncio.sleep(0)
            patient = ask(through, lane, A)
            assert numbers(await hasty) == {}
            lane.gate.set()
            assert numbers(await patient) == {A: 0.5}

    playing(play)


def test_when_everybody_has_left_it_is_not_run() -> None:
    async def play() -> None:
        lane, shelf = Halving(), Shelf()
        async with encoding(shelf) as (through, _):
            busy = ask(through, lane, B)
            await run_began(lane)
            leaving = [ask(through, lane, A), ask(through, lane, A)]
            await asyncio.sleep(0)
            for task in leaving:
                task.cancel()
            await asyncio.wait(leaving)
            lane.gate.set()
            await busy
        assert lane.runs == [[2]]

    playing(play)


def test_what_is_not_finite_is_a_failure_and_never_kept() -> None:
    async def play() -> None:
        lane, shelf = Halving(spoil=1), Shelf()
        lane.gate.set()
        async with encoding(shelf) as (through, _):
            assert numbers(await ask(through, lane, A, B)) == {A: NoResult.failed, B: 1.0}
            shelf.may.set()
            await eventually_here(lambda: not through._flights)
        assert set(shelf.kept) == {B}

    playing(play)


def test_a_dead_engine_is_told_to_everybody_who_waits() -> None:
    async def play() -> None:
        lane = Halving()
        async with encoding(Shelf()) as (through, engine):
            waiting = [ask(through, lane, A), ask(through, lane, A, B)]
            await run_began(lane)
            engine.fail_all("a test says so")
            for task in waiting:
                with pytest.raises(EngineDead):
                    await task
            lane.gate.set()
            with pytest.raises(EngineDead):
                await ask(through, lane, A)

    playing(play)
