"""Several base URLs: each candidate belongs to one of them."""

from __future__ import annotations

from collections import Counter

import pytest

from client_tests.fake_service import CANDIDATES, Answer, Sent, World, scored
from fitscore_client import AsyncClient, Candidate, Client, Unavailable
from fitscore_client.operations import owner

URLS = ["http://a", "http://b/fit/", "http://c:8000"]
IDS = [f"j-{number}" for number in range(3000)]


def test_a_new_url_takes_keys_over_and_no_other_key_moves() -> None:
    before = {key: owner(key, URLS[:2]) for key in IDS}
    after = {key: owner(key, URLS) for key in IDS}
    moved = {key for key in IDS if before[key] != after[key]}
    assert {after[key] for key in moved} == {URLS[2]}
    assert 800 < len(moved) < 1200


def test_the_order_of_the_urls_does_not_matter() -> None:
    assert [owner(key, URLS) for key in IDS] == [owner(key, URLS[::-1]) for key in IDS]


def test_modulo_hashing_would_move_most_keys() -> None:
    """The control of the first test."""
    moved = [key for key in IDS if hash(key) % 2 != hash(key) % 3]
    assert len(moved) > 1500


def test_keys_spread_evenly() -> None:
    assert all(800 < num < 1200 for num in Counter(owner(key, URLS) for key in IDS).values())


def test_scoring_asks_each_owner_and_keeps_the_order_of_the_candidates(world: World) -> None:
    candidates = [Candidate(key) for key in IDS[:50]]
    world.script = scored
    answer = world.score(candidates, client_urls=URLS)
    assert [each.id for each in answer.scores] == IDS[:50]
    assert {sent.request.url.host for sent in world.sent} == {"a", "b", "c"}
    for sent in world.sent:
        base = str(sent.request.url).removesuffix("/score")
        assert {
            owner(each["id"], ["http://a", "http://b/fit", "http://c:8000"]) for each in sent.body["candidates"]
        } == {base}
    assert [model.version for model in answer.models] == ["1"]


def test_different_live_models_are_all_named(world: World) -> None:
    world.script = lambda sent: scored(sent, version=sent.request.url.host)
    answer = world.score([Candidate(key) for key in IDS[:50]], client_urls=URLS)
    assert {model.version for model in answer.models} == {"a", "b", "c"}


def test_an_error_of_one_url_is_the_error_of_the_call(world: World) -> None:
    def script(sent: Sent) -> Answer:
        return Answer(503) if sent.request.url.host == "b" else scored(sent)

    world.script = script
    with pytest.raises(Unavailable):
        world.score([Candidate(key) for key in IDS[:50]], client_urls=URLS)


def test_an_error_of_one_url_cancels_the_other_requests(async_world: World) -> None:
    async_world.script = lambda sent: Answer(
        503 if sent.request.url.host == "b" else 200, after_s=ord(sent.request.url.host)
    )
    with pytest.raises(Unavailable):
        async_world.score([Candidate(key) for key in IDS[:50]], client_urls=["http://b", "http://c"], budget_s=999)
    assert [sent.request.url.host for sent in async_world.cancelled] == ["c"]


def test_a_candidate_is_deleted_where_it_is_stored(world: World) -> None:
    world.script = lambda _: Answer(204)
    bases = [url.rstrip("/") for url in URLS]
    for key in IDS[:20]:
        world.do("delete", key, client_urls=URLS)
        assert str(world.sent[-1].request.url) == f"{owner(key, bases)}/candidates/{key}"


def test_an_operation_on_one_process_needs_a_choice(world: World) -> None:
    world.script = lambda _: Answer(body={"waiting": 3, "room": 4})
    with pytest.raises(ValueError, match="choose it with at"):
        world.do("progress", client_urls=URLS)
    assert world.do("progress", client_urls=URLS, at="http://b/fit/").waiting == 3
    assert [str(sent.request.url) for sent in world.sent] == ["http://b/fit/candidates:progress"]
    with pytest.raises(ValueError, match="not a base URL"):
        world.do("progress", client_urls=URLS, at="http://d")


@pytest.mark.parametrize("urls", [[], "fit:8000", "ftp://fit"])
def test_a_base_url_is_checked_at_once(urls: str | list[str]) -> None:
    with pytest.raises(ValueError, match="base URLs"):
        Client(urls)


def test_both_clients_have_the_same_operations() -> None:
    names = [{name for name in vars(kind) if not name.startswith("_")} for kind in (Client, AsyncClient)]
    assert names[0] == names[1]


def test_no_candidates_are_the_services_to_refuse(world: World) -> None:
    world.script = lambda _: Answer(body={"model": {"name": "m", "version": "1", "policy": None}, "scores": [],
                                          "degraded": False})  # fmt: skip
    world.score([])
    assert world.sent[0].body["candidates"] == []
    assert len(CANDIDATES) == 3
