"""Quotas: each caller has a rate and a burst of pairs."""

import pytest

from service.admission.quotas import Quotas
from service.errors import QuotaSpent


def test_a_caller_may_use_its_burst_and_then_its_rate() -> None:
    quotas = Quotas(pairs_per_s=10.0, burst=20)
    quotas.take("a", 20, now=0.0)
    with pytest.raises(QuotaSpent) as rejection:
        quotas.take("a", 5, now=0.0)
    assert rejection.value.retry_after_s == pytest.approx(0.5)
    quotas.take("a", 5, now=0.5)


def test_one_caller_does_not_use_up_the_quota_of_another() -> None:
    quotas = Quotas(pairs_per_s=10.0, burst=20)
    quotas.take("a", 20, now=0.0)
    quotas.take("b", 20, now=0.0)


def test_a_request_larger_than_the_burst_waits_for_a_full_bucket_and_leaves_a_debt() -> None:
    quotas = Quotas(pairs_per_s=10.0, burst=20)
    quotas.take("a", 50, now=0.0)
    with pytest.raises(QuotaSpent) as rejection:
        quotas.take("a", 1, now=1.0)
    assert rejection.value.retry_after_s == pytest.approx(2.1)


def test_a_refused_request_gives_back_what_it_was_charged() -> None:
    quotas = Quotas(pairs_per_s=10.0, burst=20)
    for pairs in (20, 50):  # also one that left a debt
        quotas.take("a", pairs, now=0.0)
        quotas.give_back("a", pairs, now=0.0)
    quotas.give_back("a", 100, now=0.0)  # never more than the burst
    quotas.take("a", 20, now=0.0)
    with pytest.raises(QuotaSpent):
        quotas.take("a", 1, now=0.0)


def test_callers_not_seen_for_long_are_forgotten() -> None:
    quotas = Quotas(pairs_per_s=10.0, burst=20, max_callers=2)
    for caller in ("a", "b", "c"):
        quotas.take(caller, 20, now=0.0)
    quotas.take("a", 20, now=0.0)
    with pytest.raises(QuotaSpent):
        quotas.take("c", 20, now=0.0)
