from unittest.mock import Mock

import pytest

from service.admission.controller import Admission
from service.batching.jobs import CostEstimate
from service.errors import DeadlinePassed, Overloaded
from service.request import Item, Priority, ScoringRequest

NOW = 5.0


def admit(
    backlog_s: float,
    cost_s: float = 0.0,
    priority: Priority = Priority.critical,
    deadline_s: float = 1.0,
    loop_lag_s: float = 0.0,
    turn_s: float = 0.0,
) -> None:
    admission = Admission(2.0, lambda: backlog_s, Mock(loop_lag_s=loop_lag_s))
    request = ScoringRequest(Item("", "x"), [], None, NOW + deadline_s, priority)
    admission.admit(request, CostEstimate(cost_s / 4, cost_s / 4, cost_s / 2, turn_s), NOW)


def test_a_request_that_can_finish_in_time_is_admitted() -> None:
    admit(backlog_s=0.4, cost_s=0.5)


def test_a_request_that_cannot_finish_in_time_gets_a_retry_delay() -> None:
    with pytest.raises(Overloaded) as rejection:
        admit(backlog_s=0.75, cost_s=0.5)
    assert rejection.value.retry_after_s == pytest.approx(0.35)


@pytest.mark.parametrize("backlog_s", [0.0, 0.5, 5.0])
def test_where_no_wait_can_help_there_is_no_delay(backlog_s: float) -> None:
    with pytest.raises(Overloaded) as rejection:
        admit(backlog_s, deadline_s=0.001, loop_lag_s=0.001)
    assert rejection.value.retry_after_s is None
    assert "without other requests" in rejection.value.detail
    with pytest.raises(Overloaded) as rejection:
        admit(backlog_s + 1.0, deadline_s=0.5)
    assert rejection.value.retry_after_s


def test_a_distant_deadline_does_not_let_the_backlog_grow_without_bound() -> None:
    admit(backlog_s=1.8, deadline_s=990.0)
    with pytest.raises(Overloaded):
        admit(backlog_s=1.9, deadline_s=990.0)


@pytest.mark.parametrize(
    ("backlog_s", "admitted"),
    [(0.45, "critical default sheddable"), (0.7, "critical default"), (0.85, "critical"), (0.95, "")],
)
def test_sheddable_requests_are_rejected_first_and_critical_ones_last(backlog_s: float, admitted: str) -> None:
    names = []
    for priority in Priority:
        try:
            admit(backlog_s, priority=priority)
        except Overloaded:
            continue
        names.append(priority.value)
    assert " ".join(names) == admitted


def test_a_request_larger_than_its_time_is_admitted_for_a_partial_result_while_the_backlog_is_small() -> None:
    admit(backlog_s=0.4, cost_s=100.0)
    with pytest.raises(Overloaded):
        admit(backlog_s=0.5, cost_s=100.0)


def test_an_overloaded_event_loop_counts_as_waiting_time() -> None:
    admit(backlog_s=0.4, loop_lag_s=0.01)
    with pytest.raises(Overloaded):
        admit(backlog_s=0.4, loop_lag_s=0.1)


def test_the_wait_for_a_running_batch_counts_only_while_there_is_a_backlog() -> None:
    admit(backlog_s=0.0, cost_s=0.5, turn_s=0.5)
    with pytest.raises(Overloaded):
        admit(backlog_s=0.3, cost_s=0.5, turn_s=0.5)


def test_a_request_whose_deadline_has_passed_is_rejected() -> None:
    with pytest.raises(DeadlinePassed):
        admit(backlog_s=0.0, deadline_s=0.0)
