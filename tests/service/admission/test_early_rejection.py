"""The early_rejection: a flood is refused unread, and nobody who asks for less than what was refused pays for it."""

from __future__ import annotations

import math

import pytest

from service.admission.controller import Admission
from service.admission.early_rejection import REMEMBERED_FRACTION, Claim, EarlyRejection, priority_in
from service.errors import Overloaded
from service.request import Priority
from tests.support.fakes import Clock

SECOND = 1.0
BODY = b"x" * 100
REJECTED = Claim(allowed_s=0.74, size=100)
"""What a request of default priority with a second and BODY claimed, a hundredth after it came."""


class Gate:
    """A early_rejection before a backlog that tests set."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.wait_s, self.loop_lag_s = 0.7, 0.0
        self.early_rejection = EarlyRejection(
            Admission(max_backlog_s=10.0, backlog_seconds=lambda: self.wait_s, event_loop=self), self.clock
        )

    def lets_in(self, body: bytes = BODY, deadline_s: float = SECOND) -> bool:
        try:
            self.early_rejection.before_parsing(deadline_s, body)
        except Overloaded:
            return False
        return True


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_after_a_refusal_whoever_asks_for_no_less_is_refused_for_a_moment(gate: Gate) -> None:
    assert gate.lets_in()
    gate.early_rejection.rejected(REJECTED)
    assert not gate.lets_in()
    gate.clock.now += REMEMBERED_FRACTION * REJECTED.allowed_s
    assert gate.lets_in()


@pytest.mark.parametrize(
    ("body", "deadline_s"),
    [
        (b"x" * 99, SECOND),
        (BODY, 1.1),
        (BODY, math.inf),
        (b'{"priority": "critical"}' + BODY, SECOND),
    ],
    ids=["a smaller body", "more time", "time that only the body may state", "a higher priority"],
)
def test_whoever_asks_for_less_is_heard(gate: Gate, body: bytes, deadline_s: float) -> None:
    gate.early_rejection.rejected(REJECTED)
    assert gate.lets_in(body, deadline_s)


def test_a_refusal_of_less_counts_for_more_callers(gate: Gate) -> None:
    gate.early_rejection.rejected(REJECTED)
    gate.early_rejection.rejected(Claim(allowed_s=0.74, size=50))
    assert not gate.lets_in(b"x" * 60)


def test_a_refusal_of_more_changes_nothing(gate: Gate) -> None:
    gate.early_rejection.rejected(REJECTED)
    gate.early_rejection.rejected(Claim(allowed_s=0.01, size=10_000))
    assert not gate.lets_in()


def test_one_caller_in_a_hurry_shuts_nobody_out(gate: Gate) -> None:
    gate.early_rejection.rejected(Claim(allowed_s=0.001, size=1))
    assert gate.lets_in()


def test_refusals_do_not_follow_from_each_other_for_ever(gate: Gate) -> None:
    """Whatever comes, the moment ends when the first refusal's does."""
    began = gate.clock.now
    for _ in range(100):
        gate.early_rejection.rejected(REJECTED)
        gate.clock.now += REMEMBERED_FRACTION * REJECTED.allowed_s / 50
        if gate.lets_in():
            break
    assert gate.clock.now - began <= 1.03 * REMEMBERED_FRACTION * REJECTED.allowed_s


def test_a_backlog_that_is_too_long_for_a_critical_request_rejects_before_the_body(gate: Gate) -> None:
    gate.wait_s = 0.8
    gate.early_rejection.before_body(SECOND)
    gate.wait_s = 0.95
    with pytest.raises(Overloaded) as rejection:
        gate.early_rejection.before_body(SECOND)
    assert rejection.value.retry_after_s == pytest.approx(0.05)


def test_while_a_rejection_is_remembered_the_backlog_is_compared_by_the_priority_of_the_body(gate: Gate) -> None:
    gate.early_rejection.rejected(Claim(allowed_s=0.74, size=10_000))
    gate.wait_s = 0.8
    assert not gate.lets_in()
    assert gate.lets_in(b'"critical"')


def test_without_a_remembered_rejection_a_body_is_parsed(gate: Gate) -> None:
    gate.wait_s = 0.8
    assert gate.lets_in()


@pytest.mark.parametrize(
    ("body", "priority"),
    [
        (b'{"priority":"critical"}', Priority.critical),
        (b'{"priority": "sheddable"}', Priority.sheddable),
        (b'{"text": "critical care"}', Priority.default),
        (b'{"id": "sheddable"}', Priority.default),
        (b'{"id": "critical", "priority": "sheddable"}', Priority.critical),
        (b"", Priority.default),
    ],
)
def test_a_priority_is_seen_in_the_bytes(body: bytes, priority: Priority) -> None:
    assert priority_in(body) is priority
