import pytest

from service.admission.controller import Admission, NoCapacity
from service.request import Priority


def admit(
    backlog_s: float, cost_s: float = 0.0, priority: Priority = Priority.critical, deadline_s: float = 1.0
) -> None:
    admission = Admission(max_backlog_s=2.0)
    admission.admit(allowed_s=admission.allowed_s(priority, deadline_s), backlog_s=backlog_s, cost_s=cost_s)


def test_a_request_that_can_finish_in_time_comes_in() -> None:
    admit(backlog_s=0.4, cost_s=0.5)


def test_a_request_that_cannot_finish_in_time_hears_when_to_come_back() -> None:
    with pytest.raises(NoCapacity) as refused:
        admit(backlog_s=0.75, cost_s=0.5)
    assert refused.value.retry_after_s == pytest.approx(0.35)


def test_a_far_deadline_does_not_let_the_backlog_grow_without_end() -> None:
    admit(backlog_s=1.8, deadline_s=990.0)
    with pytest.raises(NoCapacity):
        admit(backlog_s=1.9, deadline_s=990.0)


@pytest.mark.parametrize(
    ("backlog_s", "admitted"),
    [(0.45, "critical default sheddable"), (0.7, "critical default"), (0.85, "critical"), (0.95, "")],
)
def test_sheddable_work_is_refused_first_and_critical_last(backlog_s: float, admitted: str) -> None:
    names = []
    for priority in Priority:
        try:
            admit(backlog_s, priority=priority)
        except NoCapacity:
            continue
        names.append(priority.value)
    assert " ".join(names) == admitted


def test_a_request_larger_than_its_time_comes_in_for_a_part_while_the_backlog_is_small() -> None:
    admit(backlog_s=0.4, cost_s=100.0)
    with pytest.raises(NoCapacity):
        admit(backlog_s=0.5, cost_s=100.0)


def test_a_request_whose_deadline_has_passed_stays_out() -> None:
    with pytest.raises(NoCapacity):
        admit(backlog_s=0.0, deadline_s=0.0)
