"""Hedging, which only the asynchronous client has: a blocking request cannot be cancelled."""

from __future__ import annotations

import httpx
import pytest

from client_tests.fake_service import Answer, Sent, World, in_turn, scored
from fitscore_client import Candidate, RetryBudget, RetryPolicy, Unavailable


def slow(seconds: float) -> Answer:
    return Answer(body={"model": {"name": "slow", "version": "1", "policy": None}, "scores": [], "degraded": False},
                  after_s=seconds)  # fmt: skip


def test_hedging_is_off_by_default(async_world: World) -> None:
    async_world.script = in_turn(slow(9))
    assert async_world.score().models[0].name == "slow"
    assert len(async_world.sent) == 1


def test_a_slow_request_is_sent_twice_and_the_loser_is_cancelled(async_world: World) -> None:
    async_world.script = in_turn(slow(9))
    assert async_world.score(client_hedge_after_s=0.5, budget_s=10).models[0].name == "jobs"
    assert [sent.at for sent in async_world.sent] == [0.0, 0.5]
    assert [sent.deadline_ms for sent in async_world.sent] == [10_000, 9500]
    assert async_world.cancelled == [async_world.sent[0]]
    assert async_world.clock.now == 1000.5


def test_a_quick_request_is_sent_once(async_world: World) -> None:
    async_world.score(client_hedge_after_s=0.5)
    assert len(async_world.sent) == 1


def test_the_second_request_is_cancelled_if_the_first_one_wins(async_world: World) -> None:
    async_world.script = in_turn(slow(1), slow(9))
    async_world.score(client_hedge_after_s=0.5)
    assert async_world.cancelled == [async_world.sent[1]]
    assert async_world.clock.now == 1001.0


def test_an_error_of_one_request_does_not_end_the_other(async_world: World) -> None:
    async_world.script = in_turn(slow(2), Answer(error=httpx.ReadError))
    assert async_world.score(client_hedge_after_s=0.5).models[0].name == "slow"


def test_two_errors_are_one_error(async_world: World) -> None:
    async_world.script = in_turn(Answer(503, after_s=1), Answer(503))
    with pytest.raises(Unavailable):
        async_world.score(client_hedge_after_s=0.5)
    assert len(async_world.sent) == 2


def test_writes_are_not_hedged(async_world: World) -> None:
    async_world.script = in_turn(Answer(body={"upserted": 1, "waiting": 0, "room": 1}, after_s=5))
    async_world.do("upsert", [Candidate("j-1", "text")], client_hedge_after_s=0.5)
    assert len(async_world.sent) == 1


def test_a_hedge_takes_a_token_of_the_retry_budget(async_world: World) -> None:
    def always_slow(sent: Sent) -> Answer:
        return Answer(body=scored(sent).body, after_s=2)

    async_world.script = always_slow
    policy = RetryPolicy(budget=RetryBudget(ratio=0.0, burst=1.0))
    for _ in range(3):
        async_world.score(client_hedge_after_s=0.5, client_policy=policy)
    assert len(async_world.sent) == 4
