"""Before its body is parsed, or read, a request counts with what bodies of its length have cost."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from service.admission.controller import MAX_AGE_S, MIN_REQUESTS, Admission, BodyCosts
from service.admission.early_rejection import EarlyRejection
from service.batching.jobs import CostEstimate
from service.errors import Overloaded
from service.request import Item, Priority, ScoringRequest

BODY = b"x" * 13_000
COST_S = 0.2


def admission(wait_s: float, costs: BodyCosts | None = None) -> Admission:
    made = Admission(10.0, lambda: wait_s, Mock(loop_lag_s=0.0))
    made.costs = costs or BodyCosts()
    return made


def learnt(num: int = 15, cost_s: float = COST_S) -> BodyCosts:
    """What is known after so many requests with this body."""
    costs = BodyCosts()
    for _ in range(num):
        request = ScoringRequest(Item("", "x"), [], None, 10.0, Priority.default, body_bytes=len(BODY))
        admission(0.0, costs).admit(request, CostEstimate(0.05, 0.05, cost_s - 0.1), now=0.0)
    return costs


def gate(wait_s: float, costs: BodyCosts, now: float = 1.0) -> EarlyRejection:
    return EarlyRejection(admission(wait_s, costs), lambda: now)


def test_the_cost_of_a_body_of_this_length_counts_before_it_is_parsed() -> None:
    gate(0.54, learnt()).before_parsing(1.0, BODY)  # 0.54 + 0.2 are below 0.75 of a second
    with pytest.raises(Overloaded) as rejection:
        gate(0.56, learnt()).before_parsing(1.0, BODY)
    assert rejection.value.retry_after_s == pytest.approx(0.56 + COST_S - 0.75)


def test_without_measurements_only_the_wait_counts() -> None:
    """The negative control: nearly every request gets past the door and is refused after parsing."""
    gate(0.74, BodyCosts()).before_parsing(1.0, BODY)
    with pytest.raises(Overloaded):
        gate(0.76, BodyCosts()).before_parsing(1.0, BODY)


def test_a_body_of_another_length_is_not_judged_by_it() -> None:
    gate(0.7, learnt()).before_parsing(1.0, BODY[:1000])
    gate(0.7, learnt()).before_parsing(1.0, BODY * 10)


def test_a_body_of_similar_length_is_judged_in_proportion() -> None:
    assert learnt().of(len(BODY) // 13 * 10, now=1.0) == pytest.approx(COST_S * 10 / 13)


def test_the_cheapest_request_of_a_length_counts() -> None:
    costs = learnt()
    for cost_s in (COST_S, 0.01):
        costs.note(len(BODY), cost_s, now=0.5)
    gate(0.7, costs).before_parsing(1.0, BODY)


def test_few_requests_tell_nothing() -> None:
    gate(0.7, learnt(MIN_REQUESTS - 1)).before_parsing(1.0, BODY)


def test_what_was_learnt_is_forgotten_after_a_while() -> None:
    gate(0.7, learnt(), now=MAX_AGE_S + 1).before_parsing(1.0, BODY)


def test_a_request_that_costs_more_than_its_time_is_left_to_its_own_estimate() -> None:
    gate(0.4, learnt(cost_s=5.0)).before_parsing(1.0, BODY)


def test_the_cost_of_an_announced_length_counts_before_the_body_is_read() -> None:
    gate(0.69, learnt()).before_body(1.0, len(BODY))  # 0.69 + 0.2 are below 0.9 of a second: it may be critical
    with pytest.raises(Overloaded):
        gate(0.71, learnt()).before_body(1.0, len(BODY))
    gate(0.71, learnt()).before_body(1.0)
