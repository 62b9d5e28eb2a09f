"""Bulk upserts: chunks, waits, progress, and what is left after an error."""

from __future__ import annotations

import httpx
import pytest

from client_tests.fake_service import Answer, Sent, World
from fitscore_client import (
    Candidate,
    ChunkLimits,
    ConnectionFailed,
    InvalidRequest,
    RetryPolicy,
    Unavailable,
    Upserted,
    UpsertInterrupted,
)

MANY = [Candidate(f"j-{number}", "x" * 50) for number in range(25)]
FEW_EACH = ChunkLimits(max_candidates=10)


class Store:
    """Stores what it gets, and refuses bodies by rules that a test sets."""

    def __init__(self) -> None:
        self.held: dict[str, object] = {}
        self.sizes: list[int] = []
        self.room = 1000
        self.room_after_refusal: int | None = None
        self.max_bytes = 10**9
        self.refuse: Answer | None = None
        self.refuse_after = 10**9

    def __call__(self, sent: Sent) -> Answer:
        listed = sent.body["candidates"]
        self.sizes.append(len(listed))
        if len(sent.request.content) > self.max_bytes:
            return Answer(413)
        if len(listed) > self.room:
            self.room = self.room_after_refusal or self.room
            return Answer(503, headers={"Retry-After": "1"})
        if self.refuse is not None and len(self.held) >= self.refuse_after:
            return self.refuse
        self.held.update({each["id"]: each.get("text") for each in listed})
        return Answer(body={"upserted": len(listed), "waiting": len(self.held), "room": self.room})


@pytest.fixture
def store(world: World) -> Store:
    world.script = store = Store()
    return store


def test_candidates_are_stored_in_chunks_with_progress(world: World, store: Store) -> None:
    seen: list[Upserted] = []
    done = world.do("upsert", MANY, on_progress=seen.append, client_limits=FEW_EACH)
    assert set(store.held) == {each.id for each in MANY}
    assert store.sizes == [10, 10, 5]
    assert seen == [Upserted(10, 15, 10), Upserted(20, 5, 20), Upserted(25, 0, 25)]
    assert done == seen[-1]


def test_no_body_exceeds_the_limit_of_bytes(world: World, store: Store) -> None:
    store.max_bytes = 500
    world.do("upsert", MANY, client_limits=ChunkLimits(max_bytes=500), ttl_s=3600.5)
    assert set(store.held) == {each.id for each in MANY}
    assert max(len(sent.request.content) for sent in world.sent) <= 500
    assert {sent.body["ttl_s"] for sent in world.sent} == {3600.5}


def test_a_body_that_is_too_large_for_the_service_is_halved(world: World, store: Store) -> None:
    store.max_bytes = 500
    world.do("upsert", MANY)
    assert set(store.held) == {each.id for each in MANY}
    assert store.sizes[:3] == [25, 12, 6]


def test_a_full_queue_is_waited_for_and_chunks_get_smaller(world: World, store: Store) -> None:
    store.room = 6
    world.do("upsert", MANY, client_limits=FEW_EACH)
    assert set(store.held) == {each.id for each in MANY}
    assert store.sizes == [10, 5, 6, 6, 6, 2]
    assert world.clock.now == 1001.0


def test_chunks_get_larger_again_once_the_queue_has_room(world: World, store: Store) -> None:
    store.room, store.room_after_refusal = 6, 100
    world.do("upsert", MANY, client_limits=FEW_EACH)
    assert store.sizes == [10, 5, 10, 10]


def test_a_refusal_beyond_the_budget_says_what_is_left_and_a_second_call_resumes(world: World, store: Store) -> None:
    store.refuse, store.refuse_after = Answer(503, headers={"Retry-After": "30"}), 10
    with pytest.raises(UpsertInterrupted) as caught:
        world.do("upsert", MANY, client_limits=FEW_EACH, budget_s=20)
    assert isinstance(caught.value.__cause__, Unavailable)
    assert caught.value.upserted == 10
    assert caught.value.left == tuple(each.id for each in MANY[10:])
    assert caught.value.rejected == ()
    store.refuse = None
    before = len(world.sent)
    world.do("upsert", [each for each in MANY if each.id in caught.value.left], client_limits=FEW_EACH)
    again = {each["id"] for sent in world.sent[before:] for each in sent.body["candidates"]}
    assert again == set(caught.value.left)
    assert set(store.held) == {each.id for each in MANY}


def test_an_invalid_candidate_is_named(world: World, store: Store) -> None:
    errors = [
        {"pointer": "/candidates/3/fields", "detail": "at most 9 characters"},
        {"pointer": "/ttl_s", "detail": ""},
    ]
    problem = {"type": "urn:fitscore:invalid", "title": "", "status": 422, "errors": errors, "request_id": "r"}
    kind = {"Content-Type": "application/problem+json"}
    store.refuse, store.refuse_after = Answer(422, problem, headers=kind), 10
    with pytest.raises(UpsertInterrupted) as caught:
        world.do("upsert", MANY, client_limits=FEW_EACH)
    assert isinstance(caught.value.__cause__, InvalidRequest)
    assert caught.value.rejected == ("j-13",)
    assert len(caught.value.left) == 15


def test_one_candidate_that_is_too_large_is_named(world: World, store: Store) -> None:
    store.max_bytes = 500
    with pytest.raises(UpsertInterrupted) as caught:
        world.do("upsert", [Candidate("small", "x"), Candidate("large", "x" * 900)])
    assert caught.value.rejected == ("large",)
    assert set(store.held) == {"small"}


def test_a_connection_that_fails_before_sending_is_tried_until_the_budget_ends(world: World) -> None:
    store = Store()
    world.script = lambda sent: Answer(error=httpx.ConnectError) if world.clock.now < 1030.0 else store(sent)
    world.do("upsert", MANY, budget_s=60, client_policy=RetryPolicy(random=lambda: 1.0))
    assert len(store.held) == 25


def test_a_connection_that_fails_after_sending_is_not_tried_again(world: World) -> None:
    world.script = lambda _: Answer(error=httpx.ReadError)
    with pytest.raises(UpsertInterrupted) as caught:
        world.do("upsert", MANY)
    assert isinstance(caught.value.__cause__, ConnectionFailed)
    assert len(world.sent) == 1


def test_the_last_one_of_equal_ids_counts(world: World, store: Store) -> None:
    world.do("upsert", [Candidate("a", "old"), Candidate("b", "other"), Candidate("a", "new")])
    assert store.held == {"a": "new", "b": "other"}


def test_chunks_go_to_the_owners_of_their_candidates(world: World, store: Store) -> None:
    world.do("upsert", MANY, client_urls=["http://a", "http://b"], client_limits=FEW_EACH)
    assert set(store.held) == {each.id for each in MANY}
    assert {sent.request.url.host for sent in world.sent} == {"a", "b"}
    assert sum(store.sizes) == 25


def test_nothing_to_store_sends_nothing(world: World, store: Store) -> None:
    assert world.do("upsert", []) == Upserted(0, 0, 0)
    assert world.sent == []
