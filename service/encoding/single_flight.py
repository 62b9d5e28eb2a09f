"""Single-flight encoding: concurrent requests for one text share one model call, and results are cached.

Call everything from the event loop. Knows neither what is encoded nor where it is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from models.text import TokenIds
from service.batching.engine import Engine
from service.batching.jobs import Job, JobResult, NoResult, Operation

Keep = Callable[[Mapping[bytes, Any]], Awaitable[None]]


@dataclass(eq=False)
class _Call:
    """One job that encodes several keys; it is cancelled when no request waits for it any more."""

    job: Job
    keys: tuple[bytes, ...]
    future: asyncio.Future[JobResult]
    waiters: int = 0
    results: dict[bytes, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A result or NoResult.failed by key, without the keys that were late; and the model's time."""

    results: Mapping[bytes, Any]
    model_s: float


class SingleFlight:
    """Encodes each key once at a time. A result stays here until `keep` has stored it, so that there is no gap."""

    def __init__(self, engine: Engine, keep: Keep) -> None:
        self._engine = engine
        self._keep = keep
        self._calls: dict[bytes, _Call] = {}
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
        """Encode token ids by key until the deadline. Raises EngineDead. Cancelling it does not affect others."""
        results: dict[bytes, Any] = {}
        model_s = 0.0
        left = dict(wanted)
        # A call of another request ends at that request's deadline, which may be earlier: then it is repeated.
        while left and (time_left := deadline - time.monotonic()) > 0:
            calls = {self._calls[key] for key in left if key in self._calls}
            fresh = {key: ids for key, ids in left.items() if key not in self._calls}
            if fresh:
                payloads = list(fresh.values())
                lengths = list(map(len, payloads))
                job = Job(
                    operation,
                    payloads,
                    lengths,
                    arrived=arrived,
                    deadline=deadline,
                    priority_penalty_s=priority_penalty_s,
                )
                calls.add(self._begin(job, tuple(fresh)))
            for call in calls:
                call.waiters += 1
            try:
                await asyncio.wait([call.future for call in calls], timeout=time_left)
            finally:
                for call in calls:
                    call.waiters -= 1
                    if not call.waiters and not call.future.done():
                        call.future.cancel()
            for call in calls:
                results.update((key, call.results[key]) for key in left.keys() & call.results.keys())
                model_s += call.job.model_s
            left = {key: ids for key, ids in left.items() if key not in results}
            for call in calls:
                if call.future.done() and not call.future.cancelled() and (error := call.future.exception()):
                    raise error
        return Encoded(results, model_s)

    def _begin(self, job: Job, keys: tuple[bytes, ...]) -> _Call:
        call = _Call(job, keys, self._engine.submit(job))
        call.future.add_done_callback(partial(self._finish, call))
        self._calls.update(dict.fromkeys(keys, call))
        return call

    def _finish(self, call: _Call, future: asyncio.Future[JobResult]) -> None:
        """Collect the results of a call. A result that is not finite is a failure; failures are not kept."""
        if not future.cancelled() and future.exception() is None:
            is_finite = call.job.operation.is_finite
            for key, outcome in zip(call.keys, future.result().outcomes, strict=True):
                if outcome is not NoResult.late:
                    good = outcome is not NoResult.failed and is_finite(outcome)
                    call.results[key] = outcome if good else NoResult.failed
        kept = {key: result for key, result in call.results.items() if result is not NoResult.failed}
        self._forget(set(call.keys) - kept.keys())
        if kept:
            task = asyncio.ensure_future(self._keep_then_forget(kept))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)

    async def stored(self) -> None:
        """Wait until all results so far are kept."""
        if self._keeping:
            await asyncio.wait(set(self._keeping))

    async def _keep_then_forget(self, results: Mapping[bytes, Any]) -> None:
        try:
            await self._keep(results)
        finally:
            self._forget(results)

    def _forget(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self._calls.pop(key, None)
