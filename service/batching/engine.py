"""The engine: next batch -> model thread -> deliver. One thread runs every batch; the event loop computes nothing.

Knows nothing about text, HTTP or the content of an operation. Jobs are settled on the event loop only. The model
thread only cuts batches (under a lock) and runs them, so it never waits between two runs.
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

# Turns of the event loop from a result to its follow-up job: a future, a task, its group, the waiting coroutine.
FOLLOWUP_TURNS = 4
# The wait for a follow-up job is bounded: the event loop may be busy.
MAX_FOLLOWUP_WAIT_S = 0.005


class EngineDead(Exception):
    """The model thread hangs or has died, or the engine was stopped: no job can run any more."""


class Observer(Protocol):
    """Counts what the engine does. Every method is called on the event loop's thread."""

    def batch_done(self, operation: str, num_items: int, padding_ratio: float, seconds: float) -> None:
        """A batch has run and its results are delivered; `seconds` includes runs that isolate a failure."""

    def items_expired(self, operation: str, num_items: int) -> None:
        """These items had no result at their deadline."""

    def items_cancelled(self, operation: str, num_items: int) -> None:
        """These items were removed from the queue because their request was cancelled."""

    def run_failed(self, kind: Failure) -> None:
        """A run raised or returned an unusable result, or the model thread hangs or has died."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """The future of a submitted job, and the timer of its deadline."""

    future: asyncio.Future[JobResult]
    timer: asyncio.TimerHandle


class Engine:
    """Runs the jobs of the queue, batch after batch. Call everything from one event loop.

    `announced_ns` is the predicted time of accepted requests whose jobs are not submitted yet. In whole nanoseconds, so
    that adding and subtracting leaves no rest.
    """

    def __init__(
        self,
        queue: DeadlineQueue,
        *,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
        hang_s: float = 10.0,
    ) -> None:
        self.announced_ns = 0
        self._queue = queue
        self._observer = observer
        self._clock = clock
        self._hang_s = hang_s
        # Guards the queue; the model thread sleeps on it while the queue is empty.
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run_batches, name="model", daemon=True)
        self._pending: dict[Job, _Pending] = {}
        self._ended = asyncio.Event()
        self._run_began: float | None = None
        self._running: Batch | None = None
        self._at_rest = threading.Event()
        self._batch_began = 0.0
        self._dead: str | None = "it has not been started"

    @property
    def alive(self) -> bool:
        """False before start, after stop, and once the model thread hangs or has died."""
        return self._dead is None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._dead = None
        self._thread.start()
        self._watch()

    async def stop(self) -> None:
        """Accept no new jobs, run the waiting ones, end the thread. Returns at once when the engine is dead."""
        with self._changed:
            self._queue.close()
            self._changed.notify()
        if self.alive:
            await self._ended.wait()
            self.fail_all("it was stopped")

    def submit(self, job: Job) -> asyncio.Future[JobResult]:
        """Queue a job. The future is done at the job's deadline at the latest; cancelling it cancels the job.

        Raises EngineDead.
        """
        if self._dead is not None:
            raise EngineDead(self._dead)
        with self._changed:
            try:
                self._queue.put(job)
            except QueueClosed:
                raise EngineDead("it is stopping") from None
            self._changed.notify()
        future: asyncio.Future[JobResult] = self._loop.create_future()
        timer = self._loop.call_later(max(0.0, job.deadline - self._clock()), self._expire, job)
        self._pending[job] = _Pending(future, timer)
        future.add_done_callback(lambda done: self._cancel(job) if done.cancelled() else None)
        if not job.items:
            self._finish_if_settled(job)
        return future

    def _cancel(self, job: Job) -> None:
        """Run no waiting item of a job, and drop the results of running ones."""
        pending = self._pending.pop(job, None)
        if pending is None:
            return
        job.cancelled = True
        pending.timer.cancel()
        with self._changed:
            num_items = self._queue.discard(job)
        if num_items:
            self._observer.items_cancelled(job.operation.name, num_items)

    def queued_seconds(self) -> float:
        """Predicted seconds until all submitted jobs are done."""
        now, batch = self._clock(), self._running
        if batch is None and not self._pending:
            return 0.0
        running = 0.0
        if batch is not None:
            predicted_s = batch.predicted_s * batch.operation.batch_policy.correction.factor(now)
            running = max(0.0, self._batch_began + predicted_s - now)
        with self._changed:
            return self._queue.backlog_seconds(now) + running

    def backlog_seconds(self) -> float:
        """Predicted seconds until all accepted requests are done."""
        return self.queued_seconds() + self.announced_ns / 1e9

    def fail_all(self, reason: str) -> None:
        """Be dead from now on: all submitted jobs end with EngineDead."""
        self._dead = self._dead or reason
        for job, pending in list(self._pending.items()):
            del self._pending[job]
            job.cancelled = True
            pending.timer.cancel()
            if not pending.future.done():
                pending.future.set_exception(EngineDead(reason))
        with self._changed:
            self._queue.close()
            self._changed.notify()
        self._ended.set()

    def check(self) -> None:
        """Detect a run that hangs. The watchdog calls this a few times per `hang_s`."""
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

    def wait_for_rest(self, most_s: float) -> None:
        """Wait, on a thread of one's own, until no batch runs or waits, or so many seconds have passed."""
        self._at_rest.wait(most_s)

    # On the event loop: settling jobs.

    def _deliver(self, batch: Batch, result: BatchResult, seconds: float) -> None:
        if not self.alive:
            return
        for item, outcome in zip(batch.items, result.outcomes, strict=True):
            item.job.settle(item.position, outcome)
        operation, padding_ratio = batch.operation, batch.padding_ratio
        if not result.failures:  # isolating a failure takes many runs, which predict nothing about the next batch
            operation.batch_policy.correction.note(self._clock(), predicted=batch.predicted_s, measured=seconds)
        self._observer.batch_done(operation.name, len(batch.items), padding_ratio, seconds)
        for failure in result.failures:
            self._observer.run_failed(failure)
        for job in {item.job for item in batch.items}:
            job.model_s += seconds
            self._finish_if_settled(job)

    def _expire(self, job: Job) -> None:
        if job in self._pending:
            with self._changed:
                self._queue.discard(job)
            num_items = job.settle_rest(NoResult.late)
            self._finish_if_settled(job)
            self._observer.items_expired(job.operation.name, num_items)

    def _finish_if_settled(self, job: Job) -> None:
        if job.remaining or job not in self._pending:
            return
        pending = self._pending.pop(job)
        pending.timer.cancel()
        if not pending.future.done():
            pending.future.set_result(JobResult(job.outcomes, job.model_s))

    # On the model thread.

    def _run_batches(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                self._batch_began = began = self._clock()
                self._running, self._run_began = batch, began
                result = run_batch(batch, self._begin_run)
                self._run_began = self._running = None
                self._call_on_loop(self._deliver, batch, result, self._clock() - began)
                if batch.operation.has_followup:
                    self._await_followup()
        except BaseException as error:  # For any cause, waiting requests must be answered.
            self._call_on_loop(self._die, "died", f"the model thread died of {type(error).__name__}")
            return
        finally:
            self._at_rest.set()
        self._call_on_loop(self._ended.set)

    def _next_batch(self) -> Batch | None:
        """Wait for a batch; None once the queue is closed and empty."""
        with self._changed:
            while self._dead is None:
                now = self._clock()
                for job in self._queue.expire(now):
                    self._call_on_loop(self._expire, job)
                batch = self._queue.next_batch(now)
                if batch is not None or self._queue.closed:
                    return batch
                self._at_rest.set()
                self._changed.wait()
                self._at_rest.clear()
            return None

    def _await_followup(self) -> None:
        """Yield for a few milliseconds before cutting the next batch, so that a two-stage request's second job joins.

        Counts turns of the event loop, which depends on how asyncio schedules futures and tasks. A test covers it.
        """
        submitted = threading.Event()
        self._call_on_loop(self._after_turns, FOLLOWUP_TURNS, submitted.set)
        submitted.wait(MAX_FOLLOWUP_WAIT_S)

    def _after_turns(self, turns: int, call: Callable[[], object]) -> None:
        if turns:
            self._loop.call_soon(self._after_turns, turns - 1, call)
        else:
            call()

    def _begin_run(self) -> None:
        self._run_began = self._clock()

    def _call_on_loop(self, callback: Callable[..., object], *args: object) -> None:
        """Schedule a call on the event loop without waiting for it."""
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # The loop is closed.
            self._dead = "its event loop is closed"
