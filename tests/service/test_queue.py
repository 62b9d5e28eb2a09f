"""The queue by example, and by a machine that plays it against a simulated clock and checks every promise."""

import random
import time
from collections.abc import Sequence
from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from service.cost import CostTable
from service.queue import PairQueue, QueueClosed
from service.work import Batch, PairWork, Request

PER_TOKEN = CostTable((1, 16), (8, 64), ((0.008, 0.064), (0.128, 1.024)))
FREE_UP_TO_8 = CostTable((1, 8, 16), (8, 64), ((0.1, 0.1), (0.1, 0.1), (0.2, 0.2)))


def queue_of(
    *requests: Request, cost: CostTable = PER_TOKEN, max_batch_tokens: int = 4096, max_batch_s: float = 100.0
) -> PairQueue:
    queue = PairQueue(cost, max_batch_tokens=max_batch_tokens, max_batch_s=max_batch_s, patience_s=1.0)
    for request in requests:
        queue.put(request, request.arrived)
    return queue


def request(*lengths: int, lane: object = "lane", arrived: float = 0.0, deadline: float = 100.0) -> Request:
    return Request.of(lane, [None] * len(lengths), lengths, arrived=arrived, deadline=deadline)


def lengths(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [pair.length for pair in batch.pairs]


def test_requests_share_a_batch() -> None:
    assert lengths(queue_of(request(10, 10), request(10)).next_batch(0.0)) == [10, 10, 10]


def test_the_longest_pair_leads_and_lengths_far_below_wait_for_their_own_batch() -> None:
    queue = queue_of(request(10, 40, 39, 11))
    assert lengths(queue.next_batch(0.0)) == [40, 39]
    assert lengths(queue.next_batch(0.0)) == [11, 10]
    assert queue.next_batch(0.0) is None


def test_other_requests_give_the_pairs_nearest_in_length() -> None:
    queue = queue_of(request(40), request(10, 38, 20, 64))
    assert lengths(queue.next_batch(0.0)) == [40, 38]


def test_on_a_device_with_room_to_spare_every_length_joins() -> None:
    queue = queue_of(request(10), request(64, 8), cost=FREE_UP_TO_8)
    assert sorted(lengths(queue.next_batch(0.0))) == [8, 10, 64]


def test_a_batch_keeps_to_the_token_cap() -> None:
    assert lengths(queue_of(request(10, 10, 10), max_batch_tokens=29).next_batch(0.0)) == [10, 10]


def test_a_batch_keeps_to_the_time_cap() -> None:
    assert lengths(queue_of(request(10, 10, 10), max_batch_s=0.0201).next_batch(0.0)) == [10, 10]


def test_a_single_pair_over_both_caps_still_runs() -> None:
    queue = queue_of(request(50, 50), max_batch_tokens=1, max_batch_s=0.001)
    assert lengths(queue.next_batch(0.0)) == [50]


def test_the_earliest_deadline_goes_first() -> None:
    early, late = request(10, deadline=0.5), request(60, deadline=0.9)
    batch = queue_of(late, early).next_batch(0.0)
    assert batch is not None
    assert batch.pairs[0].request is early


def test_a_request_past_its_patience_goes_first() -> None:
    patient, hasty = request(60, arrived=0.0, deadline=90.0), request(10, arrived=1.5, deadline=2.0)
    batch = queue_of(patient, hasty).next_batch(1.6)
    assert batch is not None
    assert batch.pairs[0].request is patient


def test_a_batch_never_mixes_lanes() -> None:
    queue = queue_of(request(10, lane="old"), request(10, lane="new"), request(10, lane="old"))
    assert [len(lengths(queue.next_batch(0.0))) for _ in range(2)] == [2, 1]


def test_departed_clients_are_never_run() -> None:
    departed, staying = request(10), request(10)
    queue = queue_of(departed, staying)
    departed.departed = True
    batch = queue.next_batch(0.0)
    assert batch is not None
    assert [pair.request for pair in batch.pairs] == [staying]


def test_a_request_expires_once_and_is_never_run_after_its_deadline() -> None:
    expired, live = request(10, deadline=1.0), request(10, deadline=2.0)
    queue = queue_of(live, expired)
    assert lengths(queue.next_batch(1.0)) == [10]
    assert queue.expire(1.0) == [expired]
    assert (queue.expire(1.0), queue.pairs, queue.requests) == ([], 0, 0)


def test_the_backlog_is_what_waiting_pairs_cost_in_full_batches() -> None:
    queue = queue_of(request(10, 20), max_batch_tokens=1000)
    assert queue.backlog_seconds() == pytest.approx(0.030)
    queue.use(FREE_UP_TO_8)
    assert queue.backlog_seconds() == pytest.approx(0.025)
    queue.next_batch(0.0)
    assert queue.backlog_seconds() == 0.0


def test_a_closed_queue_takes_nothing_new_and_hands_out_the_rest() -> None:
    queue = queue_of(request(10))
    queue.close()
    with pytest.raises(QueueClosed):
        queue.put(request(10), 0.0)
    assert lengths(queue.next_batch(0.0)) == [10]


@pytest.mark.parametrize(("num_requests", "num_pairs"), [(3000, 1), (300, 20), (10, 600)])
def test_cutting_a_batch_stays_cheap_while_thousands_of_pairs_wait(num_requests: int, num_pairs: int) -> None:
    rng = random.Random(1)
    queue = queue_of(
        *(request(*(rng.randint(8, 512) for _ in range(num_pairs))) for _ in range(num_requests)),
        max_batch_s=2.0,
    )
    times = []
    while queue.pairs:
        began = time.thread_time()
        queue.next_batch(0.0)
        times.append(time.thread_time() - began)
    # The median, since a shared machine disturbs single cuts; wide, so that only a slower order fails.
    assert sorted(times)[len(times) // 2] < 0.003


class QueueMachine(RuleBasedStateMachine):
    """Plays a queue against a model that is only a list: what is put, and what has been handed out."""

    queue_class: ClassVar[type[PairQueue]] = PairQueue
    max_batch_tokens = 200
    max_batch_s = 0.15
    patience_s = 3.0
    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.put_requests: list[Request] = []
        self.waiting: dict[Request, set[PairWork]] = {}
        self.handed_out: set[PairWork] = set()
        self.queue = self.queue_class(
            PER_TOKEN,
            max_batch_tokens=self.max_batch_tokens,
            max_batch_s=self.max_batch_s,
            patience_s=self.patience_s,
        )

    @rule(
        target=requests,
        sizes=st.lists(st.integers(1, 80), min_size=1, max_size=12),
        lane=st.sampled_from(["old", "new"]),
        time_left=st.integers(0, 12),
    )
    def put(self, sizes: list[int], lane: str, time_left: int) -> Request:
        new = request(*sizes, lane=lane, arrived=self.now, deadline=self.now + time_left)
        self.queue.put(new, self.now)
        self.put_requests.append(new)
        self.waiting[new] = set(new.pairs)
        return new

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(gone=requests)
    def depart(self, gone: Request) -> None:
        gone.departed = True

    @rule(gone=requests)
    def discard(self, gone: Request) -> None:
        assert self.queue.discard(gone) == len(self.waiting.pop(gone, set()))

    @rule()
    def expire(self) -> None:
        expired = self.queue.expire(self.now)
        due = [entry for entry in self.waiting if entry.deadline <= self.now]
        assert sorted(map(id, expired)) == sorted(map(id, due)), "exactly the due requests expire, once"
        for entry in due:
            del self.waiting[entry]

    @rule()
    def next_batch(self) -> None:
        live = {entry for entry in self.waiting if not entry.departed and self.now < entry.deadline}
        batch = self.queue.next_batch(self.now)
        assert (batch is not None) == bool(live), "a batch comes exactly while live pairs wait"
        if batch is not None:
            self.check_pairs(batch, live)
            self.check_caps(batch)
            self.check_order(batch.pairs[0].request, live)
            self.hand_out(batch.pairs)

    def check_pairs(self, batch: Batch, live: set[Request]) -> None:
        assert len(set(batch.pairs)) == len(batch.pairs), "no pair twice in one batch"
        for pair in batch.pairs:
            assert pair not in self.handed_out, "no pair is handed out twice"
            assert pair.request in live, "nothing expired, departed or discarded is handed out"
            assert pair is pair.request.pairs[pair.position], "a result will find its position"
            assert pair.request.lane == batch.lane, "lanes never mix"

    def check_caps(self, batch: Batch) -> None:
        assert batch.longest == max(pair.length for pair in batch.pairs)
        if len(batch.pairs) > 1:
            assert batch.padded_tokens <= self.max_batch_tokens
            assert PER_TOKEN.seconds(len(batch.pairs), batch.longest) <= self.max_batch_s

    def check_order(self, lead: Request, live: set[Request]) -> None:
        for other in live - {lead}:
            overtaken_fairly = lead.arrived < other.arrived + self.patience_s if lead.arrived > other.arrived else True
            assert overtaken_fairly, "nobody who came after a request's patience overtakes it"
            if lead.arrived >= other.arrived:
                assert lead.deadline < other.deadline or self.came_first(lead, other), "only for a deadline"

    def came_first(self, lead: Request, other: Request) -> bool:
        # Equal urgency, or both past their patience: then the order of arrival decides.
        return self.put_requests.index(lead) < self.put_requests.index(other)

    def hand_out(self, pairs: Sequence[PairWork]) -> None:
        for pair in pairs:
            self.handed_out.add(pair)
            self.waiting[pair.request].remove(pair)
            if not self.waiting[pair.request]:
                del self.waiting[pair.request]

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.queue.requests == len(self.waiting)
        assert self.queue.pairs == sum(map(len, self.waiting.values()))

    @invariant()
    def the_backlog_is_the_sum_of_what_waits(self) -> None:
        waiting = [pair.length for pairs in self.waiting.values() for pair in pairs]
        assert self.queue.backlog_seconds() == pytest.approx(self.queue.cost_seconds(waiting), abs=1e-9)

    def teardown(self) -> None:
        while any(not entry.departed and self.now < entry.deadline for entry in self.waiting):
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


class LosesAPair(PairQueue):
    def next_batch(self, now: float) -> Batch | None:
        batch = super().next_batch(now)
        return Batch(batch.lane, batch.pairs[:-1] or batch.pairs, batch.longest) if batch else None


class RepeatsAPair(PairQueue):
    last: tuple[PairWork, ...] = ()

    def next_batch(self, now: float) -> Batch | None:
        batch = super().next_batch(now)
        again = [pair for pair in self.last if batch and pair.request.lane == batch.lane]
        self.last = batch.pairs if batch else ()
        return Batch(batch.lane, (*batch.pairs, *again[:1]), batch.longest) if batch else None


class ForgetsTheTime(PairQueue):
    def next_batch(self, now: float) -> Batch | None:
        return super().next_batch(-1.0)


class HasNoPatience(PairQueue):
    def put(self, request: Request, now: float) -> None:
        self._patience_s = float("inf")
        super().put(request, now)


class ServesTheLastFirst(PairQueue):
    def put(self, request: Request, now: float) -> None:
        super().put(request, -2 * now)


class IgnoresTheCaps(PairQueue):
    def use(self, cost: CostTable) -> None:
        self._max_batch_tokens = 10_000
        self._max_batch_s = 1e9
        super().use(cost)

    def put(self, request: Request, now: float) -> None:
        self.use(PER_TOKEN)
        super().put(request, now)


class MixesLanes(PairQueue):
    def next_batch(self, now: float) -> Batch | None:
        lanes = {request: request.lane for request in self._waiting}
        for request in lanes:
            request.lane = "any"
        batch = super().next_batch(now)
        for request, lane in lanes.items():
            request.lane = lane
        return Batch(batch.pairs[0].request.lane, batch.pairs, batch.longest) if batch else None


@pytest.mark.parametrize(
    "broken",
    [LosesAPair, RepeatsAPair, ForgetsTheTime, HasNoPatience, ServesTheLastFirst, IgnoresTheCaps, MixesLanes],
)
def test_the_machine_catches_a_broken_queue(broken: type[PairQueue]) -> None:
    class BrokenMachine(QueueMachine):
        queue_class = broken

    with pytest.raises(AssertionError):
        run_state_machine_as_test(BrokenMachine, settings=CONTROL)
