"""Overload against a simulated clock: queue, admission and latency correction as the service wires them.

Without the correction, a model that has become slower than its table makes every admitted request late.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from unittest.mock import Mock

import pytest

from service.admission.controller import Admission
from service.admission.early_rejection import Claim, EarlyRejection
from service.batching.deadline_queue import DeadlineQueue
from service.batching.jobs import Batch, CostEstimate, Job, Operation
from service.batching.latency_correction import LatencyCorrection
from service.batching.latency_model import LatencyTable
from service.batching.packing import BatchPolicy
from service.errors import Overloaded
from service.request import Item, Priority, ScoringRequest
from tests.support.batching import never_run

DEADLINE_S = 1.0
TABLE = LatencyTable((1, 8), (1, 64), ((0.01, 0.01), (0.05, 0.05)))
"""A full batch of eight takes 50 ms: 160 requests per second, while the table is right."""
PADDED = LatencyTable((1, 8), (1, 64), ((0.001, 0.01), (0.005, 0.08)))
"""Time is proportional to length."""
PER_S = 160.0
Slow = Callable[[float], float]


class Frozen(LatencyCorrection):
    """The negative control: measurements are ignored."""

    def factor(self, now: float) -> float:
        return 1.0


@dataclass
class Service:
    """One model, one queue and one admission; time passes only from event to event."""

    slow: Slow
    correction: LatencyCorrection = field(default_factory=LatencyCorrection)
    now: float = 0.0
    late: int = 0
    done: list[tuple[float, Priority]] = field(default_factory=list)

    def __post_init__(self) -> None:
        policy = BatchPolicy(TABLE, max_batch_tokens=8 * 64, max_batch_s=0.05)
        policy.correction = self.correction
        self.operation = Operation("idle", policy, never_run, bool)
        self.length: Callable[[], int] = lambda: 64
        self.queue = DeadlineQueue(max_overtake_s=0.5)
        self.admission = Admission(10.0, self._backlog_seconds, Mock(loop_lag_s=0.0))
        self.running: Batch | None = None
        self.began = self.ends = 0.0
        self.priorities: dict[Job, Priority] = {}

    def play(self, arrivals: Sequence[tuple[float, Priority]]) -> None:
        """Play arrivals, and serve the admitted requests."""
        for arrived, priority in arrivals:
            self._until(arrived)
            self._arrive(priority)
        self._until(float("inf"))

    def _arrive(self, priority: Priority) -> bool:
        """Whether the request was admitted."""
        length = self.length()
        cost_s = self.operation.batch_policy.unit_cost(length) * self.correction.factor(self.now)
        request = ScoringRequest(Item("", "x"), [], None, self.now + DEADLINE_S, priority)
        try:
            self.admission.admit(request, CostEstimate(0.0, 0.0, cost_s), self.now)
        except Overloaded:
            return False
        work = Job(self.operation, [None], [length], arrived=self.now, deadline=self.now + DEADLINE_S)
        self.priorities[work] = priority
        self.queue.put(work)
        if self.running is None:
            self._begin()
        return True

    def _backlog_seconds(self) -> float:
        running = 0.0
        if self.running is not None:
            running = self.began + self.running.predicted_s * self.correction.factor(self.now) - self.now
        return self.queue.backlog_seconds(self.now) + max(0.0, running)

    def _until(self, when: float) -> None:
        while self.running is not None and self.ends <= when:
            self.now = self.ends
            self._end(self.running)
            self._begin()
        self.now = max(self.now, min(when, 1e9))

    def _begin(self) -> None:
        self.late += len(self.queue.expire(self.now))
        self.running = self.queue.next_batch(self.now)
        if self.running is not None:
            self.began = self.now
            table_s = self.operation.batch_policy.seconds(len(self.running.items), self.running.longest)
            self.ends = self.now + table_s * self.slow(self.now)

    def _end(self, batch: Batch) -> None:
        self.correction.note(self.now, predicted=batch.predicted_s, measured=self.now - self.began)
        for item in batch.items:
            in_time = self.now <= item.job.deadline
            self.late += not in_time
            if in_time:
                self.done.append((item.job.arrived, self.priorities[item.job]))


def always(factor: float) -> Slow:
    return lambda _: factor


def poisson(
    rate: float, start: float, end: float, priority: Priority = Priority.default, seed: int = 0
) -> Iterator[tuple[float, Priority]]:
    rng = random.Random(f"{rate} {start} {priority} {seed}")
    now = start + rng.expovariate(rate)
    while now < end:
        yield now, priority
        now += rng.expovariate(rate)


def goodput(service: Service, start: float, end: float, priority: Priority | None = None) -> float:
    """Requests per second that arrived in this interval and were answered in time."""
    return sum(start <= at < end and priority in (None, which) for at, which in service.done) / (end - start)


@pytest.mark.parametrize("slower", [1.0, 3.0, 0.5])
@pytest.mark.parametrize(("times", "least"), [(2, 0.95), (5, 0.93), (10, 0.90)])
def test_goodput_does_not_collapse_even_if_the_model_has_become_slower(times: int, least: float, slower: float) -> None:
    peak = PER_S / slower
    service = Service(always(slower))
    service.play(list(poisson(times * peak, 0.0, 20.0)))
    assert goodput(service, 2.0, 19.0) >= least * peak
    assert service.late <= 0.05 * len(service.done)


def test_goodput_collapses_if_the_latency_table_is_never_corrected() -> None:
    service = Service(always(3.0), Frozen())
    service.play(list(poisson(10 * PER_S / 3, 0.0, 20.0)))
    assert goodput(service, 2.0, 19.0) < 0.5 * PER_S / 3


def test_two_seconds_after_a_spike_on_a_slow_machine_every_request_is_admitted() -> None:
    """During the flood another process uses the cores too; then both end."""
    service = Service(lambda now: 8.0 if now < 10.0 else 1.0)
    load = chain(poisson(10 * PER_S, 0.0, 10.0), poisson(0.5 * PER_S, 10.0, 20.0))
    service.play(list(load))
    after = [at for at, _ in poisson(0.5 * PER_S, 10.0, 20.0) if at >= 12.0]
    assert goodput(service, 12.0, 20.0) * 8.0 == len(after)


@pytest.mark.parametrize(("pause_s", "runs"), [(0.4, 1), (5.0, 1)])
def test_one_stalled_run_costs_no_more_than_its_own_time(pause_s: float, runs: int) -> None:
    stalls = iter([True] * runs)

    def slow(now: float) -> float:
        return pause_s / 0.05 if now > 5.0 and next(stalls, False) else 1.0

    service = Service(slow)
    service.play(list(poisson(0.5 * PER_S, 0.0, 20.0)))
    after = 5.0 + pause_s + 2.0
    came = sum(at >= after for at, _ in poisson(0.5 * PER_S, 0.0, 20.0))
    assert goodput(service, after, 20.0) * (20.0 - after) == came


def mixed() -> list[tuple[float, Priority]]:
    """Three times the capacity; a sixth of it is critical."""
    critical = poisson(0.5 * PER_S, 0.0, 20.0, Priority.critical)
    return sorted(chain(critical, poisson(2.5 * PER_S, 0.0, 20.0, Priority.sheddable)))


def critical_share(service: Service) -> float:
    came = sum(priority is Priority.critical and 2.0 <= at < 19.0 for at, priority in mixed())
    return goodput(service, 2.0, 19.0, Priority.critical) * 17.0 / came


@pytest.mark.parametrize("slower", [1.0, 0.5])
def test_critical_requests_succeed_at_three_times_the_capacity(slower: float) -> None:
    service = Service(always(slower))
    service.play(mixed())
    assert critical_share(service) >= 0.995


@pytest.mark.parametrize(("always_compares", "least", "most"), [(True, 0, 100), (False, 300, 10_000)])
def test_a_flood_of_low_priority_is_not_parsed(always_compares: bool, least: int, most: int) -> None:
    """The negative control compares the backlog only while a rejection is remembered."""
    service = Service(always(1.0))
    early_rejection = EarlyRejection(service.admission, lambda: service.now)
    bodies = {Priority.critical: b'{"priority": "critical"}', Priority.sheddable: b'{"priority": "sheddable"}'}
    critical = poisson(PER_S, 0.0, 20.0, Priority.critical)
    wasted = 0
    for arrived, priority in sorted(chain(critical, poisson(9 * PER_S, 0.0, 20.0, Priority.sheddable))):
        service._until(arrived)
        try:
            if always_compares or service.now < early_rejection._until.get("", -math.inf):
                early_rejection.before_parsing(DEADLINE_S, bodies[priority])
        except Overloaded:
            continue
        if not service._arrive(priority):
            wasted += 1
            early_rejection.rejected(Claim(service.admission.allowed_s(priority, DEADLINE_S), len(bodies[priority])))
    assert least <= wasted <= most


def test_critical_requests_fail_if_every_priority_has_the_same_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: every priority has the same share."""
    monkeypatch.setattr("service.admission.controller.USABLE_FRACTION", dict.fromkeys(Priority, 0.75))
    service = Service(always(1.0))
    service.play(mixed())
    assert critical_share(service) < 0.8


def test_mixed_lengths_do_not_make_requests_late() -> None:
    """Items count as in full batches of their own length; the margin covers the padding."""
    service = Service(always(1.0))
    rng = random.Random(0)
    service.length = lambda: rng.choice([48, 52, 56, 60, 64])  # which may share batches, padded
    policy = BatchPolicy(PADDED, max_batch_tokens=8 * 64, max_batch_s=0.08)
    policy.correction = service.correction
    service.operation = Operation("idle", policy, never_run, bool)
    service.play(list(poisson(10 * PER_S, 0.0, 20.0)))
    assert service.late <= 0.05 * len(service.done)
