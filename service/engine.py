"""The loop: next batch -> model thread -> deliver. One thread owns every run; the event loop never computes.

Knows nothing about text, HTTP or what a lane does inside. Requests are settled on the event loop alone;
the model thread only cuts batches (under a lock) and runs them, so between two runs it waits for nobody.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.cost import CostTable
from service.queue import PairQueue, QueueClosed
from service.runs import Failure, Part, run_batch
from service.work import Batch, PairOutcome, PairStatus, Request, RequestResult

_NOT_SCORED = PairOutcome(PairStatus.not_scored)


class EngineDead(Exception):
    """The model thread hangs or is gone, or the engine was stopped: nothing can be scored here any more."""


class Observer(Protocol):
    """Who is told what happened; always called on the event loop's thread."""

    def batch_done(self, batch: Batch, seconds: float) -> None:
        """A batch has run and its results are delivered; `seconds` includes runs that isolate a failure."""

    def pairs_expired(self, num_pairs: int) -> None:
        """These pairs had no score when their request's deadline came."""

    def pairs_departed(self, num_pairs: int) -> None:
        """These pairs were let go unrun because their client has left."""

    def run_failed(self, kind: Failure) -> None:
        """A run raised or returned something that can't be used, or the model thread hangs or died."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """Who waits for a request that was submitted, and the timer that ends the wait."""

    future: asyncio.Future[RequestResult]
    submitted: float
    timer: asyncio.TimerHandle


class Engine:
    """Runs what the queue holds, batch after batch. Call everything from one event loop."""

    def __init__(
        self,
        queue: PairQueue,
        *,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
        hang_s: float = 10.0,
    ) -> None:
        self._queue = queue
        self._observer = observer
        self._clock = clock
        self._hang_s = hang_s
        # Guards the queue; the model thread sleeps on it while nothing waits.
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._own_the_model, name="model", daemon=True)
        self._pending: dict[Request, _Pending] = {}
        self._ended = asyncio.Event()
        self._run_began: float | None = None
        self._busy_until = 0.0
        self._dead: str | None = "it has not been started"

    @property
    def alive(self) -> bool:
        """False before start, after stop, and from the moment when the model thread hangs or dies."""
        return self._dead is None

    async def start(self) -> None:
        """Start the model thread and its watchdog."""
        self._loop = asyncio.get_running_loop()
        self._dead = None
        self._thread.start()
        self._watch()

    async def stop(self) -> None:
        """Take nothing new, run what waits, end the thread. Returns at once when the engine is dead."""
        with self._changed:
            self._queue.close()
            self._changed.notify()
        if self.alive:
            await self._ended.wait()
            self.fail_all("it was stopped")

    def submit(self, request: Request) -> asyncio.Future[RequestResult]:
        """Queue a request; the future is done at its deadline at the latest.

        Cancelling the future frees its place. Raises EngineDead.
        """
        if self._dead is not None:
            raise EngineDead(self._dead)
        now = self._clock()
        with self._changed:
            try:
                self._queue.put(request, now)
            except QueueClosed:
                raise EngineDead("it is stopping") from None
            self._changed.notify()
        future: asyncio.Future[RequestResult] = self._loop.create_future()
        timer = self._loop.call_later(max(0.0, request.deadline - now), self._expire, request)
        self._pending[request] = _Pending(future, now, timer)
        future.add_done_callback(lambda done: self.cancel(request) if done.cancelled() else None)
        self._finish_if_settled(request)
        return future

    def cancel(self, request: Request) -> None:
        """The client has left: what waits of the request is never run, and nobody is told what ran."""
        pending = self._pending.pop(request, None)
        if pending is None:
            return
        request.departed = True
        pending.timer.cancel()
        pending.future.cancel()
        with self._changed:
            num_pairs = self._queue.discard(request)
        if num_pairs:
            self._observer.pairs_departed(num_pairs)

    def backlog_seconds(self) -> float:
        """Predicted seconds until everything that waits or runs now is done."""
        running = max(0.0, self._busy_until - self._clock()) if self._run_began is not None else 0.0
        return self._queue.backlog_seconds() + running

    def cost_seconds(self, lengths: Sequence[int]) -> float:
        """Predicted seconds that pairs of these lengths would add to the backlog."""
        return self._queue.cost_seconds(lengths)

    def use(self, cost: CostTable) -> None:
        """Cut batches by another cost table from now on: another model is live."""
        with self._changed:
            self._queue.use(cost)

    def fail_all(self, reason: str) -> None:
        """Be dead from now on: everything queued or in flight ends with EngineDead."""
        self._dead = self._dead or reason
        for request, pending in list(self._pending.items()):
            del self._pending[request]
            request.departed = True
            pending.timer.cancel()
            if not pending.future.done():
                pending.future.set_exception(EngineDead(reason))
        with self._changed:
            self._queue.close()
            self._changed.notify()
        self._ended.set()

    def check(self) -> None:
        """Notice a run that hangs. The watchdog calls this a few times per `hang_s`."""
        began = self._run_began
        if self.alive and began is not None and self._clock() - began > self._hang_s:
            self._die("hung", f"a run takes longer than {self._hang_s:g} s")

    def _watch(self) -> None:
        self.check()
        if self.alive:
            self._loop.call_later(self._hang_s / 4, self._watch)

    def _die(self, kind: Failure, reason: str) -> None:
        if self.alive:
            self.fail_all(reason)
            self._observer.run_failed(kind)

    # On the event loop: settling requests.

    def _deliver(self, batch: Batch, parts: list[Part], seconds: float) -> None:
        if not self.alive:
            return
        requests = {pair.request for pair in batch.pairs}
        for part in parts:
            part.settle()
        for request in requests:
            request.model_s += seconds
            self._finish_if_settled(request)
        for part in parts:
            if part.failure is not None:
                self._observer.run_failed(part.failure)
        self._observer.batch_done(batch, seconds)

    def _expire(self, request: Request) -> None:
        if request in self._pending:
            with self._changed:
                self._queue.discard(request)
            num_pairs = request.settle_rest(_NOT_SCORED)
            self._finish_if_settled(request)
            self._observer.pairs_expired(num_pairs)

    def _finish_if_settled(self, request: Request) -> None:
        if request.remaining or request not in self._pending:
            return
        pending = self._pending.pop(request)
        pending.timer.cancel()
        if not pending.future.done():
            outcomes = tuple(outcome for outcome in request.outcomes if outcome is not None)
            queue_s = max(0.0, self._clock() - pending.submitted - request.model_s)
            pending.future.set_result(RequestResult(outcomes, queue_s, request.model_s))

    # On the model thread.

    def _own_the_model(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                began = self._clock()
                self._busy_until = began + self._queue.run_seconds(batch)
                parts = run_batch(batch, self._begin_run)
                self._run_began = None
                self._tell(self._deliver, batch, parts, self._clock() - began)
        except BaseException as error:  # Whatever ends this thread, nobody may wait for it for ever.
            self._tell(self._die, "died", f"the model thread died of {type(error).__name__}")
            return
        self._tell(self._ended.set)

    def _next_batch(self) -> Batch | None:
        """Wait for work; None when there will be no more."""
        with self._changed:
            while self._dead is None:
                now = self._clock()
                for request in self._queue.expire(now):
                    self._tell(self._expire, request)
                batch = self._queue.next_batch(now)
                if batch is not None or self._queue.closed:
                    return batch
                self._changed.wait()
            return None

    def _begin_run(self) -> None:
        self._run_began = self._clock()

    def _tell(self, callback: Callable[..., object], *args: object) -> None:
        """Have the event loop call this; the model thread does not wait for it."""
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # The loop is closed: nobody is left to tell.
            self._dead = "its event loop is closed"
