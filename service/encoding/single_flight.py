"""Texts on their way through a operation, each once however many ask for it, and kept afterwards.

Call everything from the event loop. Knows neither what is encoded nor where it is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from models.text import TokenIds
from service.batching.engine import Engine
from service.batching.jobs import Job, JobResult, NoResult, Operation

Keep = Callable[[Mapping[bytes, Any]], Awaitable[None]]


@dataclass(eq=False)
class _Flight:
    """Work that several may wait for; it is let go when nobody does any more."""

    work: Job
    keys: tuple[bytes, ...]
    landed: asyncio.Future[JobResult]
    waiters: int = 0
    results: dict[bytes, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A result, or Loss.failed, by key; what came too late is not there. And the model's time for it."""

    results: Mapping[bytes, Any]
    model_s: float


class SingleFlight:
    """Single flight by key: whoever asks for what is already under way waits for that.

    Results stay here until `keep` has put them where the next one looks, so that there is no gap between.
    """

    def __init__(self, engine: Engine, keep: Keep) -> None:
        self._engine = engine
        self._keep = keep
        self._flights: dict[bytes, _Flight] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    async def encode(
        self,
        operation: Operation,
        wanted: Mapping[bytes, TokenIds],
        *,
        arrived: float,
        deadline: float,
        priority_penalty_s: float = 0.0,
    ) -> Encoded:
        """Encode what is wanted by a deadline. Raises EngineDead; cancelling this takes nothing from others."""
        results: dict[bytes, Any] = {}
        model_s = 0.0
        left = dict(wanted)
        # Another's flight may be late for its own deadline and not for this one: then it is begun again.
        while left and (time_left := deadline - time.monotonic()) > 0:
            flights = list(self._board(operation, left, arrived, deadline, priority_penalty_s))
            try:
                await asyncio.wait([flight.landed for flight in flights], timeout=time_left)
            finally:
                for flight in flights:
                    self._leave(flight)
            for flight in flights:
                results.update((key, flight.results[key]) for key in left.keys() & flight.results.keys())
                model_s += flight.work.model_s
            left = {key: ids for key, ids in left.items() if key not in results}
            _raise_what_ended([flight.landed for flight in flights])
        return Encoded(results, model_s)

    def _board(
        self,
        operation: Operation,
        wanted: Mapping[bytes, TokenIds],
        arrived: float,
        deadline: float,
        priority_penalty_s: float,
    ) -> Iterator[_Flight]:
        """The flights that carry what is wanted; one is begun for what no flight carries."""
        under_way = {self._flights[key] for key in wanted if key in self._flights}
        fresh = {key: ids for key, ids in wanted.items() if key not in self._flights}
        if fresh:
            payloads = list(fresh.values())
            lengths = list(map(len, payloads))
            work = Job.of(
                operation, payloads, lengths, arrived=arrived, deadline=deadline, priority_penalty_s=priority_penalty_s
            )
            flight = _Flight(work, tuple(fresh), self._engine.submit(work))
            flight.landed.add_done_callback(partial(self._land, flight))
            self._flights.update(dict.fromkeys(fresh, flight))
            under_way.add(flight)
        for flight in under_way:
            flight.waiters += 1
            yield flight

    def _leave(self, flight: _Flight) -> None:
        flight.waiters -= 1
        if not flight.waiters and not flight.landed.done():
            flight.landed.cancel()

    def _land(self, flight: _Flight, landed: asyncio.Future[JobResult]) -> None:
        """Sort out what came of a flight: results are kept and then forgotten here, the rest at once."""
        if not landed.cancelled() and landed.exception() is None:
            outcomes = zip(flight.keys, landed.result().outcomes, strict=True)
            flight.results.update(_usable(flight.work.operation, outcomes))
        kept = {key: result for key, result in flight.results.items() if result is not NoResult.failed}
        self._forget(set(flight.keys) - kept.keys())
        if kept:
            task = asyncio.ensure_future(self._keep_then_forget(kept))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)

    async def _keep_then_forget(self, results: Mapping[bytes, Any]) -> None:
        try:
            await self._keep(results)
        finally:
            self._forget(results)

    def _forget(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self._flights.pop(key, None)


def _usable(operation: Operation, outcomes: Iterable[tuple[bytes, Any]]) -> Iterator[tuple[bytes, Any]]:
    """Results that may be kept: one that is not finite is a failure, and what was late is nothing."""
    for key, outcome in outcomes:
        if outcome is not NoResult.late:
            yield key, outcome if outcome is not NoResult.failed and operation.is_finite(outcome) else NoResult.failed


def _raise_what_ended(futures: Iterable[asyncio.Future[JobResult]]) -> None:
    for future in futures:
        if future.done() and not future.cancelled() and (error := future.exception()) is not None:
            raise error
