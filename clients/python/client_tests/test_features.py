"""Features of candidates, heads by name and explanations go over the wire as they are documented."""

from __future__ import annotations

from client_tests.fake_service import Answer, Sent, World
from fitscore_client import Candidate

PRICED = [Candidate("a", "chef", {"price": 12.5}), Candidate("b", features={"km": 3}), Candidate("c", "nurse")]


def explained(sent: Sent) -> Answer:
    own = {"score": 0.5, "heads": {"apply": 0.5}, "status": "scored"}
    items = [{"id": each["id"], **own, "explain": {"apply": {"price": -0.1}}} for each in sent.body["candidates"]]
    model = {"name": "jobs", "version": "1", "policy": None}
    return Answer(body={"model": model, "scores": items, "degraded": False})


def test_candidates_have_features_and_a_request_names_heads(world: World) -> None:
    world.script = explained
    found = world.score(PRICED, heads=["apply"], explain=True)
    [sent] = world.sent
    assert sent.body["candidates"] == [
        {"id": "a", "text": "chef", "features": {"price": 12.5}},
        {"id": "b", "features": {"km": 3}},
        {"id": "c", "text": "nurse"},
    ]
    assert (sent.body["heads"], sent.body["explain"]) == (["apply"], True)
    assert found.scores[0].explain == {"apply": {"price": -0.1}}


def test_a_request_without_them_is_as_before(world: World) -> None:
    found = world.score([Candidate("a", "chef")])
    assert set(world.sent[0].body) & {"heads", "explain"} == set()
    assert world.sent[0].body["candidates"] == [{"id": "a", "text": "chef"}]
    assert found.scores[0].explain is None


def test_stored_candidates_keep_features(world: World) -> None:
    world.script = lambda sent: Answer(body={"upserted": len(sent.body["candidates"]), "waiting": 0, "room": 9})
    world.do("upsert", PRICED[:1])
    assert world.sent[0].body["candidates"] == [{"id": "a", "text": "chef", "features": {"price": 12.5}}]
