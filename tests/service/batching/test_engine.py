"""The engine with a real event loop; fakes are gated by events, so no test depends on speed."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from service.batching.deadline_queue import DeadlineQueue
from service.batching.engine import Engine, EngineDead
from service.batching.jobs import Job, JobResult, NoResult
from service.batching.latency_correction import MIN_MEASUREMENTS
from service.batching.latency_model import LatencyTable
from service.batching.packing import BatchPolicy
from service.registry.operations import pair_operation
from tests.support.batching import RecordingObserver

COST = LatencyTable((1, 64), (1, 512), ((0.001, 0.001), (0.001, 0.001)))
FAR = 1e6
PATIENCE_S = 60.0


class Doubler:
    """Payloads are numbers; the heads are the number and its double. `edit` may change a result."""

    heads = ("number", "double")

    def __init__(self, edit: Callable[[list[float]], object] | None = None, *, max_batch_tokens: int = 4096) -> None:
        packing = BatchPolicy(COST, max_batch_tokens=max_batch_tokens, max_batch_s=10.0)
        self.operation = pair_operation(self, packing)  # type: ignore[arg-type]  # numbers in place of pairs
        self.edit = edit
        self.runs: list[list[float]] = []
        self.threads: set[int] = set()

    def score(self, pairs: Sequence[float]) -> NDArray[np.float32]:
        self.runs.append(list(pairs))
        self.threads.add(threading.get_ident())
        answer = self.edit(list(pairs)) if self.edit else None
        rows = np.array([[number, 2 * number] for number in pairs], dtype=np.float32)
        return rows if answer is None else answer  # type: ignore[return-value]  # `edit` may break the contract: that is what is tested


class Gated(Doubler):
    """Signals that a run has begun, and does not end it before the gate opens."""

    def __init__(self, *, max_batch_tokens: int = 4096) -> None:
        super().__init__(self.wait, max_batch_tokens=max_batch_tokens)
        self.began = threading.Event()
        self.gate = threading.Event()

    def wait(self, pairs: list[float]) -> None:
        self.began.set()
        assert self.gate.wait(PATIENCE_S)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def running(
    observer: RecordingObserver | None = None, hang_s: float = 1e3
) -> AsyncIterator[tuple[Engine, Clock]]:
    clock = Clock()
    engine = Engine(
        DeadlineQueue(max_overtake_s=1.0), observer=observer or RecordingObserver(), clock=clock, hang_s=hang_s
    )
    await engine.start()
    try:
        yield engine, clock
    finally:
        await asyncio.wait_for(engine.stop(), PATIENCE_S)


def job(scorer: Doubler, *numbers: float, lengths: Sequence[int] | None = None, deadline: float = FAR) -> Job:
    return Job(scorer.operation, numbers, lengths or [10] * len(numbers), arrived=0.0, deadline=deadline)


async def result(future: asyncio.Future[JobResult]) -> JobResult:
    return await asyncio.wait_for(future, PATIENCE_S)


async def began(scorer: Gated) -> None:
    assert await asyncio.to_thread(scorer.began.wait, PATIENCE_S)


def numbers(done: JobResult) -> list[float | NoResult]:
    """Each item's number as the model returned it, or why there is none."""
    return [outcome if isinstance(outcome, NoResult) else float(outcome[0]) for outcome in done.outcomes]


def test_results_are_in_request_order_for_any_lengths() -> None:
    async def play() -> None:
        async with running() as (engine, _):
            lengths = [30, 5, 50, 7, 41, 12]
            done = await result(engine.submit(job(Doubler(max_batch_tokens=50), 3, 1, 4, 1.5, 9, 2, lengths=lengths)))
            assert [tuple(row) for row in done.outcomes] == [
                (3, 6), (1, 2), (4, 8), (1.5, 3), (9, 18), (2, 4),
            ]  # fmt: skip

    asyncio.run(play())


def test_items_that_wait_during_a_run_share_the_next_batch() -> None:
    async def play() -> None:
        scorer = Gated()
        async with running() as (engine, _):
            first = engine.submit(job(scorer, 1))
            await began(scorer)
            others = [engine.submit(job(scorer, number)) for number in (2, 3)]
            scorer.gate.set()
            assert [numbers(await result(future)) for future in (first, *others)] == [[1], [2], [3]]
        assert scorer.runs == [[1], [2, 3]]
        assert len(scorer.threads) == 1
        assert threading.get_ident() not in scorer.threads

    asyncio.run(play())


def test_a_followup_job_goes_before_jobs_that_waited_already() -> None:
    async def play() -> None:
        order: list[float | NoResult] = []
        first, then = Gated(max_batch_tokens=10), Doubler()
        first.operation = replace(first.operation, has_followup=True)
        async with running() as (engine, _):
            done = engine.submit(job(first, 1))
            await began(first)
            waits = engine.submit(job(first, 2))
            first.gate.set()
            await done
            follows = Job(then.operation, [3], [10], arrived=-1.0, deadline=FAR)
            for each in asyncio.as_completed([engine.submit(follows), waits]):
                order += numbers(await each)
        assert order == [3, 2]

    asyncio.run(play())


def test_a_failing_item_is_isolated_and_its_neighbours_get_scores() -> None:
    def refuse_13(pairs: list[float]) -> None:
        if 13 in pairs:
            raise RuntimeError("13")

    async def play() -> None:
        observer = RecordingObserver()
        async with running(observer) as (engine, _):
            done = await result(engine.submit(job(Doubler(refuse_13), 1, 2, 13, 4, 5)))
            assert numbers(done) == [1, 2, NoResult.failed, 4, 5]
            assert numbers(await result(engine.submit(job(Doubler(), 6)))) == [6]
        assert set(observer.failures) == {"error"}

    asyncio.run(play())


def test_a_row_that_is_not_finite_is_reported_and_does_not_affect_its_neighbours() -> None:
    def poison(pairs: list[float]) -> object:
        return np.array([[number, np.nan if number == 2 else 0] for number in pairs], dtype=np.float32)

    async def play() -> None:
        observer = RecordingObserver()
        async with running(observer) as (engine, _):
            done = await result(engine.submit(job(Doubler(poison), 1, 2, 3)))
        assert [bool(np.isfinite(row).all()) for row in done.outcomes] == [True, False, True]
        assert observer.failures == ["not_finite"]

    asyncio.run(play())


@pytest.mark.parametrize("shape", [(2, 2), (3,), (3, 1), (4, 2)])
def test_a_result_of_the_wrong_shape_fails_all_its_pairs(shape: tuple[int, ...]) -> None:
    async def play() -> None:
        observer = RecordingObserver()
        async with running(observer) as (engine, _):
            done = await result(engine.submit(job(Doubler(lambda _: np.zeros(shape)), 1, 2, 3)))
        assert numbers(done) == [NoResult.failed] * 3
        assert observer.failures == ["shape"]

    asyncio.run(play())


def test_a_cancelled_job_leaves_the_queue_and_its_neighbours_get_scores() -> None:
    async def play() -> None:
        scorer, observer = Gated(), RecordingObserver()
        async with running(observer) as (engine, _):
            running_one = engine.submit(job(scorer, 1))
            await began(scorer)
            waiting, neighbour = engine.submit(job(scorer, 2, 3)), engine.submit(job(scorer, 4))
            running_one.cancel()
            waiting.cancel()
            await asyncio.wait([running_one, waiting])
            scorer.gate.set()
            assert numbers(await result(neighbour)) == [4]
        assert scorer.runs == [[1], [4]]
        assert observer.cancelled == 2

    asyncio.run(play())


def test_a_job_that_expires_while_it_waits_is_finished_and_never_run() -> None:
    async def play() -> None:
        scorer, observer = Gated(), RecordingObserver()
        async with running(observer) as (engine, _):
            first = engine.submit(job(scorer, 1))
            await began(scorer)
            expired = await result(engine.submit(job(scorer, 2, 3, deadline=0.01)))
            assert numbers(expired) == [NoResult.late] * 2
            scorer.gate.set()
            await result(first)
        assert scorer.runs == [[1]]
        assert observer.expired == 2

    asyncio.run(play())


def test_a_job_that_expires_while_it_runs_keeps_the_results_it_has() -> None:
    async def play() -> None:
        scorer, observer = Gated(max_batch_tokens=50), RecordingObserver()

        def second_run_waits(pairs: list[float]) -> None:
            if len(scorer.runs) > 1:
                Gated.wait(scorer, pairs)

        scorer.edit = second_run_waits
        async with running(observer) as (engine, _):
            future = engine.submit(job(scorer, 1, 2, 3, lengths=[10, 50, 20], deadline=0.75))
            await began(scorer)
            done = await result(future)
            assert numbers(done) == [NoResult.late, 2, NoResult.late]
            scorer.gate.set()
        assert observer.expired == 2

    asyncio.run(play())


def test_a_result_has_the_seconds_of_its_runs() -> None:
    async def play() -> None:
        async with running() as (engine, clock):

            def takes_three_seconds(pairs: list[float]) -> None:
                clock.now += 3.0

            done = await result(engine.submit(job(Doubler(takes_three_seconds), 1)))
            assert done.model_s == 3.0

    asyncio.run(play())


def test_a_job_without_items_is_done_at_once() -> None:
    async def play() -> None:
        async with running() as (engine, _):
            assert (await result(engine.submit(job(Doubler())))).outcomes == []

    asyncio.run(play())


def test_a_run_that_hangs_ends_every_job_and_the_engine_is_dead() -> None:
    async def play() -> None:
        scorer, observer = Gated(), RecordingObserver()
        async with running(observer, hang_s=0.02) as (engine, clock):
            futures = [engine.submit(job(scorer, 1))]
            await began(scorer)
            futures.append(engine.submit(job(scorer, 2)))
            engine.check()
            alive_in_time = engine.alive
            clock.now = 0.03
            for future in futures:
                with pytest.raises(EngineDead, match="longer"):
                    await result(future)
            assert (alive_in_time, engine.alive) == (True, False)
            with pytest.raises(EngineDead):
                engine.submit(job(scorer, 3))
            scorer.gate.set()
        assert observer.failures == ["hung"]

    asyncio.run(play())


def test_a_model_thread_that_dies_ends_every_job() -> None:
    def die(pairs: list[float]) -> None:
        raise SystemExit

    async def play() -> None:
        observer = RecordingObserver()
        async with running(observer) as (engine, _):
            with pytest.raises(EngineDead, match="SystemExit"):
                await result(engine.submit(job(Doubler(die), 1)))
            assert not engine.alive
        assert observer.failures == ["died"]

    asyncio.run(play())


def test_stop_runs_the_waiting_jobs_and_accepts_no_new_ones() -> None:
    async def play() -> None:
        scorer = Gated(max_batch_tokens=10)
        async with running() as (engine, _):
            futures = [engine.submit(job(scorer, number)) for number in range(5)]
            await began(scorer)
            stopping = asyncio.create_task(engine.stop())
            await asyncio.sleep(0)
            with pytest.raises(EngineDead, match="stopping"):
                engine.submit(job(scorer, 9))
            scorer.gate.set()
            await stopping
            assert [numbers(future.result()) for future in futures] == [[0], [1], [2], [3], [4]]
            assert not engine.alive

    asyncio.run(play())


def test_the_backlog_counts_waiting_and_running_items() -> None:
    async def play() -> None:
        scorer = Gated(max_batch_tokens=10)
        async with running() as (engine, _):
            assert engine.backlog_seconds() == 0.0
            first = engine.submit(job(scorer, 1, 2, 3))
            await began(scorer)
            assert engine.backlog_seconds() == pytest.approx(0.003)
            scorer.gate.set()
            await result(first)

    asyncio.run(play())


def test_measured_times_correct_predicted_times() -> None:
    async def play() -> None:
        async with running() as (engine, clock):

            def takes_two_seconds(pairs: list[float]) -> None:
                clock.now += 2.0

            slow = Doubler(takes_two_seconds)
            for _ in range(MIN_MEASUREMENTS):
                await result(engine.submit(job(slow, 1)))
            assert slow.operation.batch_policy.correction.factor(clock.now) == pytest.approx(2.0 / 0.001)

    asyncio.run(play())


def test_runs_that_isolate_a_failure_correct_nothing() -> None:
    async def play() -> None:
        async with running() as (engine, clock):

            def fails_for_two_seconds(pairs: list[float]) -> None:
                clock.now += 2.0
                raise RuntimeError

            poisoned = Doubler(fails_for_two_seconds)
            for _ in range(MIN_MEASUREMENTS):
                await result(engine.submit(job(poisoned, 1)))
            assert poisoned.operation.batch_policy.correction.factor(clock.now) == 1.0

    asyncio.run(play())


def test_giving_way_ends_once_no_batch_runs_or_after_its_patience() -> None:
    async def play() -> None:
        scorer = Gated()
        async with running() as (engine, _):
            await asyncio.to_thread(engine.wait_for_rest, PATIENCE_S)  # nothing has been submitted
            done = engine.submit(job(scorer, 1))
            await began(scorer)
            await asyncio.to_thread(engine.wait_for_rest, 0.001)
            waiting = asyncio.create_task(asyncio.to_thread(engine.wait_for_rest, PATIENCE_S))
            assert not done.done()
            scorer.gate.set()
            await asyncio.wait_for(waiting, PATIENCE_S / 2)
            assert numbers(await result(done)) == [1]

    asyncio.run(play())
