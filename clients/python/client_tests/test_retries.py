"""Deadlines and retries: when a request is sent again, and with how much time."""

from __future__ import annotations

import httpx
import pytest

from client_tests.fake_service import Answer, World, in_turn
from fitscore_client import (
    ConnectionFailed,
    DeadlineExceeded,
    DeadlinePassed,
    Problem,
    QuotaSpent,
    RetryBudget,
    RetryPolicy,
    Unavailable,
)


def refusal(seconds: int, status: int = 503, after_s: float = 0.0) -> Answer:
    return Answer(status, headers={"Retry-After": str(seconds)}, after_s=after_s)


def test_a_refusal_is_sent_again_after_its_retry_after(world: World) -> None:
    world.script = in_turn(refusal(2))
    assert [each.score for each in world.score().scores] == [3.0, 3.0, 3.0]
    assert [sent.at for sent in world.sent] == [0.0, 2.0]


def test_the_deadline_and_the_timeout_shrink_over_retries(world: World) -> None:
    world.script = in_turn(refusal(2, after_s=0.5), refusal(1))
    world.score(budget_s=5)
    assert [sent.deadline_ms for sent in world.sent] == [5000, 2500, 1500]
    assert [sent.read_timeout_s for sent in world.sent] == [5.0, 2.5, 1.5]


def test_the_clients_budget_counts_where_a_call_has_none(world: World) -> None:
    world.score(client_budget_s=0.25)
    assert [sent.deadline_ms for sent in world.sent] == [250]


def test_a_deadline_is_stated_for_scoring_only(world: World) -> None:
    world.script = in_turn(Answer(body={"waiting": 0, "room": 5}))
    world.do("progress")
    assert [sent.deadline_ms for sent in world.sent] == [None]


def test_a_long_budget_states_the_longest_deadline_that_the_service_takes(world: World) -> None:
    world.score(budget_s=float("inf"))
    assert world.sent[0].deadline_ms == 600_000


@pytest.mark.parametrize(("budget_s", "num_sent"), [(3.0, 1), (3.1, 2)])
def test_a_wait_that_does_not_fit_into_the_budget_is_not_begun(world: World, budget_s: float, num_sent: int) -> None:
    world.script = in_turn(refusal(3))
    if num_sent == 1:
        with pytest.raises(Unavailable) as caught:
            world.score(budget_s=budget_s)
        assert caught.value.retry_after_s == 3.0
        assert world.clock.now == 1000.0
    else:
        world.score(budget_s=budget_s)
    assert len(world.sent) == num_sent


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 415, 422, 431, 500, 502, 504, 507])
def test_other_errors_are_not_sent_again_even_with_a_retry_after(world: World, status: int) -> None:
    world.script = in_turn(refusal(1, status))
    with pytest.raises(Problem) as caught:
        world.score()
    assert caught.value.status == status
    assert len(world.sent) == 1


def test_a_503_without_retry_after_is_not_sent_again(world: World) -> None:
    world.script = in_turn(Answer(503))
    with pytest.raises(Unavailable):
        world.score()
    assert len(world.sent) == 1


@pytest.mark.parametrize("answer", [refusal(1, 429), Answer(429)])
def test_a_spent_quota_is_sent_again(world: World, answer: Answer) -> None:
    world.script = in_turn(answer)
    world.score()
    assert len(world.sent) == 2


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
def test_a_connection_that_fails_before_sending_is_tried_again(world: World, error: type[httpx.TransportError]) -> None:
    world.script = in_turn(Answer(error=error))
    world.score()
    assert len(world.sent) == 2


@pytest.mark.parametrize("error", [httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError])
def test_a_connection_that_fails_after_sending_is_not_tried_again(
    world: World, error: type[httpx.TransportError]
) -> None:
    world.script = in_turn(Answer(error=error))
    with pytest.raises(ConnectionFailed) as caught:
        world.score()
    assert caught.value.sent
    assert len(world.sent) == 1


def test_attempts_are_bounded(world: World) -> None:
    world.script = in_turn(*[Answer(error=httpx.ConnectError)] * 9)
    with pytest.raises(ConnectionFailed) as caught:
        world.score(client_policy=RetryPolicy(max_attempts=3, random=lambda: 0.0))
    assert not caught.value.sent
    assert len(world.sent) == 3


def test_an_answer_after_the_budget_is_a_deadline_exceeded(world: World) -> None:
    world.script = in_turn(Answer(after_s=9))
    with pytest.raises(DeadlineExceeded):
        world.score(budget_s=2)
    assert world.clock.now == 1002.0
    assert len(world.sent) == 1


def test_a_spent_budget_sends_nothing(world: World) -> None:
    with pytest.raises(DeadlineExceeded):
        world.score(budget_s=0)
    assert world.sent == []


def test_a_deadline_that_the_service_finds_passed_is_both_a_problem_and_a_deadline_exceeded(world: World) -> None:
    world.script = in_turn(Answer(504))
    with pytest.raises(DeadlineExceeded) as caught:
        world.score()
    assert isinstance(caught.value, DeadlinePassed)


def test_a_retry_budget_bounds_retries_over_all_calls(world: World) -> None:
    policy = RetryPolicy(budget=RetryBudget(ratio=0.5, burst=2.0), random=lambda: 0.0)
    outcomes = []
    for _ in range(6):
        world.script = in_turn(refusal(1))
        try:
            world.score(client_policy=policy)
            outcomes.append("retried")
        except Unavailable:
            outcomes.append("not")
    # 2 tokens, and a half more with each call.
    assert outcomes == ["retried", "retried", "retried", "not", "retried", "not"]


def test_without_a_retry_budget_each_call_may_retry(world: World) -> None:
    """The control of the test above."""
    for _ in range(6):
        world.script = in_turn(refusal(1, 429))
        world.score()
    assert len(world.sent) == 12


def test_a_retry_comes_later_by_a_jitter_that_grows_and_is_bounded() -> None:
    policy = RetryPolicy(base_s=0.1, cap_s=0.5, random=lambda: 1.0)
    waits = [policy.wait_s(ConnectionFailed("planted", sent=False), attempt) for attempt in (1, 2, 3, 999)]
    assert waits == pytest.approx([0.2, 0.4, 0.5, 0.5])
    refused = QuotaSpent(httpx.Response(429, headers={"Retry-After": "3"}))
    assert policy.wait_s(refused, 1) == pytest.approx(3.2)


def test_connecting_has_a_timeout_of_its_own(world: World) -> None:
    world.score(budget_s=5)
    world.score(budget_s=0.5)
    assert [sent.request.extensions["timeout"]["connect"] for sent in world.sent] == [1.0, 0.5]
