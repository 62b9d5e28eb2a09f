"""Early rejection: a flood is rejected unparsed, and a request that needs less than a rejected one is not affected."""

from __future__ import annotations

import math
from unittest.mock import Mock

import pytest

from service.admission.controller import Admission
from service.admission.early_rejection import REMEMBERED_FRACTION, Claim, EarlyRejection, priority_in
from service.errors import Overloaded
from service.request import Priority
from tests.support.fakes import Clock

SECOND = 1.0
BODY = b"x" * 100
REJECTED = Claim(allowed_s=0.74, size=100)
"""The claim of a request of default priority with BODY and a second, a hundredth after its arrival."""


class Gate:
    """Early rejection in front of a backlog that tests set."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.wait_s = 0.7
        self.early_rejection = EarlyRejection(Admission(10.0, lambda: self.wait_s, Mock(loop_lag_s=0.0)), self.clock)

    def parses(self, body: bytes = BODY, deadline_s: float = SECOND) -> bool:
        try:
            self.early_rejection.before_parsing(deadline_s, body)
        except Overloaded:
            return False
        return True


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_after_a_rejection_requests_that_need_no_less_are_rejected_for_a_moment(gate: Gate) -> None:
    assert gate.parses()
    gate.early_rejection.rejected(REJECTED)
    assert not gate.parses()
    gate.clock.now += REMEMBERED_FRACTION * REJECTED.allowed_s
    assert gate.parses()


@pytest.mark.parametrize(
    ("body", "deadline_s"),
    [
        (b"x" * 99, SECOND),
        (BODY, 1.1),
        (BODY, math.inf),
        (b'{"priority": "critical"}' + BODY, SECOND),
    ],
    ids=["a smaller body", "more time", "a deadline that only the body may state", "a higher priority"],
)
def test_a_request_that_needs_less_is_parsed(gate: Gate, body: bytes, deadline_s: float) -> None:
    gate.early_rejection.rejected(REJECTED)
    assert gate.parses(body, deadline_s)


def test_a_rejection_of_a_smaller_body_covers_more_requests(gate: Gate) -> None:
    gate.early_rejection.rejected(REJECTED)
    gate.early_rejection.rejected(Claim(allowed_s=0.74, size=50))
    assert not gate.parses(b"x" * 60)


def test_a_rejection_of_a_larger_body_changes_nothing(gate: Gate) -> None:
    gate.early_rejection.rejected(REJECTED)
    gate.early_rejection.rejected(Claim(allowed_s=0.01, size=10_000))
    assert not gate.parses()


def test_a_rejection_with_a_short_deadline_does_not_reject_others(gate: Gate) -> None:
    gate.early_rejection.rejected(Claim(allowed_s=0.001, size=1))
    assert gate.parses()


def test_early_rejections_do_not_prolong_themselves(gate: Gate) -> None:
    """A rejection ends at its own time, also under further ones."""
    began = gate.clock.now
    for _ in range(100):
        gate.early_rejection.rejected(REJECTED)
        gate.clock.now += REMEMBERED_FRACTION * REJECTED.allowed_s / 50
        if gate.parses():
            break
    assert gate.clock.now - began <= 1.03 * REMEMBERED_FRACTION * REJECTED.allowed_s


def test_a_backlog_that_is_too_long_for_a_critical_request_rejects_before_the_body(gate: Gate) -> None:
    gate.wait_s = 0.8
    gate.early_rejection.before_body(SECOND)
    gate.wait_s = 0.95
    with pytest.raises(Overloaded) as rejection:
        gate.early_rejection.before_body(SECOND)
    assert rejection.value.retry_after_s == pytest.approx(0.05)


def test_a_backlog_that_is_too_long_for_the_priority_of_the_body_rejects_before_parsing(gate: Gate) -> None:
    """Also without a remembered rejection: a flood of low priority costs no parsing at all."""
    gate.wait_s = 0.8
    assert not gate.parses()
    assert gate.parses(b'"critical"')
    assert gate.parses(deadline_s=math.inf)


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
def test_the_priority_is_found_in_the_bytes_of_a_body(body: bytes, priority: Priority) -> None:
    assert priority_in(body) is priority
