import pytest

from service.admission.controller import Admission, NoCapacity, QuotaExceeded, Quotas
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


def test_a_caller_may_use_its_burst_and_then_its_rate() -> None:
    quotas = Quotas(pairs_per_s=10.0, burst=20)
    quotas.take("a", 20, now=0.0)
    with pytest.raises(QuotaExceeded) as refused:
        quotas.take("a", 5, now=0.0)
    assert refused.value.retry_after_s == pytest.approx(0.5)
    quotas.take("a", 5, now=0.5)


def test_one_caller_does_not_use_up_the_quota_of_another() -> None:
    quotas = Quotas(pairs_per_s=10.0, burst=20)
    quotas.take("a", 20, now=0.0)
    quotas.take("b", 20, now=0.0)


def test_a_request_larger_than_the_burst_waits_for_a_full_bucket_and_leaves_a_debt() -> None:
    quotas = Quotas(pairs_per_s=10.0, burst=20)
    quotas.take("a", 50, now=0.0)
    with pytest.raises(QuotaExceeded) as refused:
        quotas.take("a", 1, now=1.0)
    assert refused.value.retry_after_s == pytest.approx(2.1)


def test_callers_not_seen_for_long_are_forgotten() -> None:
    quotas = Quotas(pairs_per_s=10.0, burst=20, max_callers=2)
    for caller in ("a", "b", "c"):
        quotas.take(caller, 20, now=0.0)
    quotas.take("a", 20, now=0.0)
    with pytest.raises(QuotaExceeded):
        quotas.take("c", 20, now=0.0)
