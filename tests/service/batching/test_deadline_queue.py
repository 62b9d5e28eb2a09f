"""The queue by example, and by a state machine that checks its invariants against a simulated clock."""

import random
from collections.abc import Mapping, Sequence
from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from service.batching.deadline_queue import DeadlineQueue, QueueClosed
from service.batching.jobs import Batch, Job, JobItem, Operation
from service.batching.latency_correction import MIN_MEASUREMENTS
from service.batching.latency_model import LatencyTable
from tests.support.batching import PER_TOKEN, USUAL, operation_of
from tests.support.counting import lines_run

MOST_LINES = 20_000  # about eighty for each of the 256 jobs that one batch looks through
FREE_UP_TO_8 = LatencyTable((1, 8, 16), (8, 64), ((0.1, 0.1), (0.1, 0.1), (0.2, 0.2)))


def queue_of(*jobs: Job) -> DeadlineQueue:
    queue = DeadlineQueue(max_overtake_s=1.0)
    for work in jobs:
        queue.put(work)
    return queue


def job(*lengths: int, operation: Operation = USUAL, arrived: float = 0.0, deadline: float = 100.0) -> Job:
    return Job(operation, [None] * len(lengths), lengths, arrived=arrived, deadline=deadline)


def lengths(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [item.length for item in batch.items]


def test_several_jobs_share_a_batch() -> None:
    assert lengths(queue_of(job(10, 10), job(10)).next_batch(0.0)) == [10, 10, 10]


def test_the_longest_item_leads_and_much_shorter_ones_wait_for_their_own_batch() -> None:
    queue = queue_of(job(10, 40, 39, 11))
    assert lengths(queue.next_batch(0.0)) == [40, 39]
    assert lengths(queue.next_batch(0.0)) == [11, 10]
    assert queue.next_batch(0.0) is None


def test_other_jobs_contribute_the_items_nearest_in_length() -> None:
    queue = queue_of(job(40), job(10, 38, 20, 64))
    assert lengths(queue.next_batch(0.0)) == [40, 38]


def test_on_a_device_with_spare_capacity_every_length_joins() -> None:
    roomy = operation_of(FREE_UP_TO_8)
    queue = queue_of(job(10, operation=roomy), job(64, 8, operation=roomy))
    assert sorted(lengths(queue.next_batch(0.0))) == [8, 10, 64]


def test_a_batch_keeps_to_the_token_cap() -> None:
    assert lengths(queue_of(job(10, 10, 10, operation=operation_of(max_batch_tokens=29))).next_batch(0.0)) == [10, 10]


def test_a_batch_keeps_to_the_time_cap() -> None:
    assert lengths(queue_of(job(10, 10, 10, operation=operation_of(max_batch_s=0.0201))).next_batch(0.0)) == [10, 10]


def test_a_single_item_over_both_caps_still_runs() -> None:
    queue = queue_of(job(50, 50, operation=operation_of(max_batch_tokens=1, max_batch_s=0.001)))
    assert lengths(queue.next_batch(0.0)) == [50]


def test_the_earliest_deadline_goes_first() -> None:
    early, late = job(10, deadline=0.5), job(60, deadline=0.9)
    batch = queue_of(late, early).next_batch(0.0)
    assert batch is not None
    assert batch.items[0].job is early


def test_a_job_that_waited_longer_than_max_overtake_goes_first() -> None:
    patient, hasty = job(60, arrived=0.0, deadline=90.0), job(10, arrived=1.5, deadline=2.0)
    batch = queue_of(patient, hasty).next_batch(1.6)
    assert batch is not None
    assert batch.items[0].job is patient


def test_a_batch_never_mixes_operations() -> None:
    other = operation_of()
    queue = queue_of(job(10), job(10, operation=other), job(10))
    assert [len(lengths(queue.next_batch(0.0))) for _ in range(2)] == [2, 1]


def test_cancelled_jobs_are_never_run() -> None:
    departed, staying = job(10), job(10)
    queue = queue_of(departed, staying)
    departed.cancelled = True
    batch = queue.next_batch(0.0)
    assert batch is not None
    assert [item.job for item in batch.items] == [staying]


def test_a_job_expires_once_and_is_never_run_after_its_deadline() -> None:
    expired, live = job(10, deadline=1.0), job(10, deadline=2.0)
    queue = queue_of(live, expired)
    assert lengths(queue.next_batch(1.0)) == [10]
    assert queue.expire(1.0) == [expired]
    assert (queue.expire(1.0), queue.items, queue.jobs) == ([], 0, 0)


def test_the_backlog_is_the_cost_of_waiting_items_in_full_batches_by_their_own_operation() -> None:
    queue = queue_of(job(10, 20), job(10, 20, operation=operation_of(FREE_UP_TO_8, max_batch_tokens=1000)))
    assert queue.backlog_seconds(0.0) == pytest.approx(0.030 + 0.025)
    queue.next_batch(0.0)
    assert 0.025 <= queue.backlog_seconds(0.0) < 0.030 + 0.025
    while queue.items:
        queue.next_batch(0.0)
    assert queue.backlog_seconds(0.0) == 0.0


def test_the_backlog_of_an_operation_follows_its_own_correction() -> None:
    slow = operation_of()
    queue = queue_of(job(10, 20, operation=slow), job(10, 20, operation=operation_of()))
    for _ in range(MIN_MEASUREMENTS):
        slow.batch_policy.correction.note(5.0, predicted=1.0, measured=3.0)
    assert queue.backlog_seconds(5.0) == pytest.approx(3 * 0.030 + 0.030)


def test_an_operation_without_waiting_items_is_forgotten_while_others_are_busy() -> None:
    """A queue that is never empty must not keep swapped models in memory."""
    gone = operation_of()
    queue = queue_of(job(10, operation=gone), job(10))
    queue.next_batch(0.0)
    assert queue.items == 1
    assert gone not in queue._backlogs


def test_a_job_with_a_priority_penalty_goes_after_later_jobs_and_expires_at_its_own_deadline() -> None:
    shadow = Job(USUAL, [None], [64], arrived=0.0, deadline=5.0, priority_penalty_s=600.0)
    live = job(10, arrived=3.0, deadline=99.0)
    queue = queue_of(shadow, live)
    first = queue.next_batch(3.0)
    assert first is not None
    assert first.items[0].job is live
    assert queue.expire(5.0) == [shadow]


def test_a_closed_queue_accepts_no_jobs_and_hands_out_the_rest() -> None:
    queue = queue_of(job(10))
    queue.close()
    with pytest.raises(QueueClosed):
        queue.put(job(10))
    assert lengths(queue.next_batch(0.0)) == [10]


def lines_a_cut(num_jobs: int, num_items: int) -> int:
    """The most lines that cutting one batch runs, until the queue is empty."""
    rng = random.Random(1)
    operation = operation_of(max_batch_s=2.0)
    queue = queue_of(
        *(job(*(rng.randint(8, 512) for _ in range(num_items)), operation=operation) for _ in range(num_jobs)),
    )
    lines = []
    while queue.items:
        lines.append(lines_run(lambda: queue.next_batch(0.0), "service.batching"))
    return max(lines)


@pytest.mark.parametrize(("num_jobs", "num_items"), [(3000, 1), (300, 20), (10, 600)])
def test_cutting_a_batch_stays_cheap_while_thousands_of_items_wait(num_jobs: int, num_items: int) -> None:
    assert lines_a_cut(num_jobs, num_items) < MOST_LINES


def test_a_queue_that_looks_through_all_jobs_is_not_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr("service.batching.deadline_queue._MAX_JOBS_PER_BATCH", 1500)
    assert lines_a_cut(1500, 1) > 2 * MOST_LINES


# Two operations with their own costs and caps: one by the token, one with spare capacity.
CAPS_BY_NAME = {"token": (200, 0.15, PER_TOKEN), "roomy": (400, 0.12, FREE_UP_TO_8)}
OPERATIONS = {
    name: operation_of(cost, max_batch_tokens=tokens, max_batch_s=seconds)
    for name, (tokens, seconds, cost) in CAPS_BY_NAME.items()
}
CAPS: dict[Operation, tuple[int, float, LatencyTable]] = {OPERATIONS[name]: caps for name, caps in CAPS_BY_NAME.items()}
UNCAPPED: dict[Operation, Operation] = {
    operation: operation_of(CAPS[operation][2], max_batch_tokens=10_000, max_batch_s=1e9)
    for operation in OPERATIONS.values()
}


class QueueMachine(RuleBasedStateMachine):
    """Plays a queue against a model that is only a list: the jobs that were put, and the items that were handed out."""

    queue_class: ClassVar[type[DeadlineQueue]] = DeadlineQueue
    max_overtake_s = 3.0
    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.put_jobs: list[Job] = []
        self.waiting: dict[Job, set[JobItem]] = {}
        self.handed_out: set[JobItem] = set()
        self.queue = self.queue_class(max_overtake_s=self.max_overtake_s)

    @rule(
        target=jobs,
        sizes=st.lists(st.integers(1, 80), min_size=1, max_size=12),
        name=st.sampled_from(sorted(OPERATIONS)),
        time_left=st.integers(0, 12),
    )
    def put(self, sizes: list[int], name: str, time_left: int) -> Job:
        new = job(*sizes, operation=OPERATIONS[name], arrived=self.now, deadline=self.now + time_left)
        self.queue.put(new)
        self.put_jobs.append(new)
        self.waiting[new] = set(new.items)
        return new

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(gone=jobs)
    def cancel(self, gone: Job) -> None:
        gone.cancelled = True

    @rule(gone=jobs)
    def discard(self, gone: Job) -> None:
        assert self.queue.discard(gone) == len(self.waiting.pop(gone, set()))

    @rule()
    def expire(self) -> None:
        expired = self.queue.expire(self.now)
        due = [entry for entry in self.waiting if entry.deadline <= self.now]
        assert sorted(map(id, expired)) == sorted(map(id, due)), "exactly the due jobs expire, once"
        for entry in due:
            del self.waiting[entry]

    @rule()
    def next_batch(self) -> None:
        live = {entry for entry in self.waiting if not entry.cancelled and self.now < entry.deadline}
        batch = self.queue.next_batch(self.now)
        assert (batch is not None) == bool(live), "there is a batch exactly while live items wait"
        if batch is not None:
            self.check_items(batch, live)
            self.check_caps(batch)
            self.check_order(batch.items[0].job, live)
            self.hand_out(batch.items)

    def check_items(self, batch: Batch, live: set[Job]) -> None:
        assert len(set(batch.items)) == len(batch.items), "no item twice in one batch"
        for item in batch.items:
            assert item not in self.handed_out, "no item is handed out twice"
            assert item.job in live, "no expired, cancelled or discarded job is handed out"
            assert item is item.job.items[item.position], "a result will find its position"
            assert item.job.operation == batch.operation, "operations never mix"

    def check_caps(self, batch: Batch) -> None:
        assert batch.longest == max(item.length for item in batch.items)
        if len(batch.items) > 1:
            max_batch_tokens, max_batch_s, cost = CAPS[batch.operation]
            assert len(batch.items) * batch.longest <= max_batch_tokens
            assert cost.seconds(len(batch.items), batch.longest) <= max_batch_s

    def check_order(self, lead: Job, live: set[Job]) -> None:
        for other in live - {lead}:
            overtaken_fairly = (
                lead.arrived < other.arrived + self.max_overtake_s if lead.arrived > other.arrived else True
            )
            assert overtaken_fairly, "no job is overtaken by one that arrived later than max_overtake_s"
            if lead.arrived >= other.arrived:
                assert lead.deadline < other.deadline or self.came_first(lead, other), "only for a deadline"

    def came_first(self, lead: Job, other: Job) -> bool:
        # Equal urgency, or both waited longer than max_overtake_s: then the order of arrival decides.
        return self.put_jobs.index(lead) < self.put_jobs.index(other)

    def hand_out(self, items: Sequence[JobItem]) -> None:
        for item in items:
            self.handed_out.add(item)
            self.waiting[item.job].remove(item)
            if not self.waiting[item.job]:
                del self.waiting[item.job]

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.queue.jobs == len(self.waiting)
        assert self.queue.items == sum(map(len, self.waiting.values()))

    @invariant()
    def the_backlog_is_the_sum_of_what_waits(self) -> None:
        waiting = [item for items in self.waiting.values() for item in items]
        shares = [item.job.operation.batch_policy.unit_cost(item.length) for item in waiting]
        assert self.queue.backlog_seconds(0.0) == pytest.approx(sum(shares), abs=1e-9)

    def teardown(self) -> None:
        while any(not entry.cancelled and self.now < entry.deadline for entry in self.waiting):
            self.next_batch()


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestQueueKeepsItsPromises = QueueMachine.TestCase


# No shrinking: it is enough that the machine notices.
CONTROL = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)


class LosesAnItem(DeadlineQueue):
    def next_batch(self, now: float) -> Batch | None:
        batch = super().next_batch(now)
        return Batch(batch.operation, batch.items[:-1] or batch.items, batch.longest) if batch else None


class RepeatsAnItem(DeadlineQueue):
    last: tuple[JobItem, ...] = ()

    def next_batch(self, now: float) -> Batch | None:
        batch = super().next_batch(now)
        again = [item for item in self.last if batch and item.job.operation is batch.operation]
        self.last = batch.items if batch else ()
        return Batch(batch.operation, (*batch.items, *again[:1]), batch.longest) if batch else None


class ForgetsTheTime(DeadlineQueue):
    def next_batch(self, now: float) -> Batch | None:
        return super().next_batch(-1.0)


class NeverLimitsOvertaking(DeadlineQueue):
    def put(self, work: Job) -> None:
        self._max_overtake_s = float("inf")
        super().put(work)


class ServesTheLastFirst(DeadlineQueue):
    def put(self, work: Job) -> None:
        arrived, work.arrived = work.arrived, -2 * work.arrived
        super().put(work)
        work.arrived = arrived


class _Relabels(DeadlineQueue):
    """Cuts batches as though each operation were another."""

    relabelled: ClassVar[Mapping[Operation, Operation]]

    def next_batch(self, now: float) -> Batch | None:
        operations = {work: work.operation for work in self._waiting}
        for work, operation in operations.items():
            work.operation = self.relabelled[operation]
        batch = super().next_batch(now)
        for work, operation in operations.items():
            work.operation = operation
        return Batch(batch.items[0].job.operation, batch.items, batch.longest) if batch else None


class IgnoresTheCaps(_Relabels):
    relabelled = UNCAPPED


class MixesOperations(_Relabels):
    relabelled: ClassVar[Mapping[Operation, Operation]] = dict.fromkeys(OPERATIONS.values(), USUAL)


class PricesAllAlike(DeadlineQueue):
    def put(self, work: Job) -> None:
        super().put(work)
        if work.items:
            self._backlogs[work.operation].seconds = USUAL.batch_policy.total_cost(item.length for item in work.items)


@pytest.mark.parametrize(
    "broken",
    [
        LosesAnItem,
        RepeatsAnItem,
        ForgetsTheTime,
        NeverLimitsOvertaking,
        ServesTheLastFirst,
        IgnoresTheCaps,
        MixesOperations,
        PricesAllAlike,
    ],
)
def test_the_machine_catches_a_broken_queue(broken: type[DeadlineQueue]) -> None:
    class BrokenMachine(QueueMachine):
        queue_class = broken

    with pytest.raises(AssertionError):
        run_state_machine_as_test(BrokenMachine, settings=CONTROL)
