"""The loop: next batch -> model thread -> deliver. One thread owns every run; the event loop never computes.

Knows nothing about text, HTTP or what a lane does inside. Work is settled on the event loop alone;
the model thread only cuts batches (under a lock) and runs them, so between two runs it waits for nobody.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from service.batching.deadline_queue import DeadlineQueue, QueueClosed
from service.batching.fault_isolation import BatchResult, Failure, run_batch
from service.batching.jobs import Batch, Job, JobResult, NoResult

# Turns of the loop from results to the work that follows: futures, a task, the group that it is in, who waits for that.
FOLLOW_TURNS = 4
# A loop that is behind is not waited for longer.
FOLLOW_S = 0.005


class EngineDead(Exception):
    """The model thread hangs or is gone, or the engine was stopped: nothing can be scored here any more."""


class Observer(Protocol):
    """Who is told what happened; always called on the event loop's thread."""

    def batch_done(self, batch: Batch, seconds: float) -> None:
        """A batch has run and its results are delivered; `seconds` includes runs that isolate a failure."""

    def items_expired(self, lane: str, num_items: int) -> None:
        """These items had no result when their deadline came."""

    def items_departed(self, lane: str, num_items: int) -> None:
        """These items were let go unrun because nobody waits for them any more."""

    def run_failed(self, kind: Failure) -> None:
        """A run raised or returned something that can't be used, or the model thread hangs or died."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """Who waits for work that was submitted, and the timer that ends the wait."""

    future: asyncio.Future[JobResult]
    submitted: float
    timer: asyncio.TimerHandle


class Engine:
    """Runs what the queue holds, batch after batch. Call everything from one event loop."""

    def __init__(
        self,
        queue: DeadlineQueue,
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
        self._pending: dict[Job, _Pending] = {}
        self._ended = asyncio.Event()
        self._run_began: float | None = None
        self._running: Batch | None = None
        self._batch_began = 0.0
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

    def submit(self, work: Job) -> asyncio.Future[JobResult]:
        """Queue work; the future is done at its deadline at the latest.

        Cancelling the future frees its place. Raises EngineDead.
        """
        if self._dead is not None:
            raise EngineDead(self._dead)
        now = self._clock()
        with self._changed:
            try:
                self._queue.put(work)
            except QueueClosed:
                raise EngineDead("it is stopping") from None
            self._changed.notify()
        future: asyncio.Future[JobResult] = self._loop.create_future()
        timer = self._loop.call_later(max(0.0, work.deadline - now), self._expire, work)
        self._pending[work] = _Pending(future, now, timer)
        future.add_done_callback(lambda done: self.cancel(work) if done.cancelled() else None)
        self._finish_if_settled(work)
        return future

    def cancel(self, work: Job) -> None:
        """Nobody waits for it any more: what waits of the work is never run, and nobody is told what ran."""
        pending = self._pending.pop(work, None)
        if pending is None:
            return
        work.departed = True
        pending.timer.cancel()
        pending.future.cancel()
        with self._changed:
            num_items = self._queue.discard(work)
        if num_items:
            self._observer.items_departed(work.lane.name, num_items)

    def backlog_seconds(self) -> float:
        """Predicted seconds until everything that waits or runs now is done."""
        now, batch = self._clock(), self._running
        running = 0.0
        if batch is not None:
            running = max(0.0, self._batch_began + batch.predicted_s * batch.lane.packing.pace.factor(now) - now)
        with self._changed:
            return self._queue.backlog_seconds(now) + running

    def fail_all(self, reason: str) -> None:
        """Be dead from now on: everything queued or in flight ends with EngineDead."""
        self._dead = self._dead or reason
        for work, pending in list(self._pending.items()):
            del self._pending[work]
            work.departed = True
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

    def _deliver(self, batch: Batch, result: BatchResult, seconds: float) -> None:
        if not self.alive:
            return
        for item, outcome in zip(batch.items, result.outcomes, strict=True):
            item.work.settle(item.position, outcome)
        for work in {item.work for item in batch.items}:
            work.model_s += seconds
            self._finish_if_settled(work)
        for failure in result.failures:
            self._observer.run_failed(failure)
        if not result.failures:  # isolating a failure takes many runs, and says nothing of the next batch
            batch.lane.packing.pace.note(self._clock(), predicted=batch.predicted_s, measured=seconds)
        self._observer.batch_done(batch, seconds)

    def _expire(self, work: Job) -> None:
        if work in self._pending:
            with self._changed:
                self._queue.discard(work)
            num_items = work.settle_rest(NoResult.late)
            self._finish_if_settled(work)
            self._observer.items_expired(work.lane.name, num_items)

    def _finish_if_settled(self, work: Job) -> None:
        if work.remaining or work not in self._pending:
            return
        pending = self._pending.pop(work)
        pending.timer.cancel()
        if not pending.future.done():
            queue_s = max(0.0, self._clock() - pending.submitted - work.model_s)
            pending.future.set_result(JobResult(work.outcomes, queue_s, work.model_s))

    # On the model thread.

    def _own_the_model(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                self._batch_began = began = self._clock()
                self._running = batch
                result = run_batch(batch, self._begin_run)
                self._run_began = self._running = None
                self._tell(self._deliver, batch, result, self._clock() - began)
                if batch.lane.leads_on:
                    self._hear_what_follows()
        except BaseException as error:  # Whatever ends this thread, nobody may wait for it for ever.
            self._tell(self._die, "died", f"the model thread died of {type(error).__name__}")
            return
        self._tell(self._ended.set)

    def _next_batch(self) -> Batch | None:
        """Wait for work; None when there will be no more."""
        with self._changed:
            while self._dead is None:
                now = self._clock()
                for work in self._queue.expire(now):
                    self._tell(self._expire, work)
                batch = self._queue.next_batch(now)
                if batch is not None or self._queue.closed:
                    return batch
                self._changed.wait()
            return None

    def _hear_what_follows(self) -> None:
        """Wait until whoever has got these results has submitted what follows, or a few milliseconds have passed.

        Cut at once, the next batch would be without it: whoever comes twice would wait for one run more.
        """
        heard = threading.Event()
        self._tell(self._in_turns, FOLLOW_TURNS, heard.set)
        heard.wait(FOLLOW_S)

    def _in_turns(self, turns: int, call: Callable[[], object]) -> None:
        if turns:
            self._loop.call_soon(self._in_turns, turns - 1, call)
        else:
            call()

    def _begin_run(self) -> None:
        self._run_began = self._clock()

    def _tell(self, callback: Callable[..., object], *args: object) -> None:
        """Have the event loop call this; the model thread does not wait for it."""
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # The loop is closed: nobody is left to tell.
            self._dead = "its event loop is closed"
