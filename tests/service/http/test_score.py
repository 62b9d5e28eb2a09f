"""POST /score: the wire contract, as callers see it."""

import re
from pathlib import Path

import httpx
import numpy as np
import pytest

from models.bundle.files import Bundle
from models.loading import open_encoder, open_scorer
from models.text import Pair
from tests.support.service import CANDIDATES, OPEN, Running, Serve


def test_the_answer_has_the_shape_of_the_contract(usual: Running) -> None:
    answer = usual.score()
    assert answer.status_code == 200
    body = answer.json()
    assert body["model"] == {"name": "tiny", "version": "1", "policy": "tiny-policy@1"}
    assert body["degraded"] is False
    assert [each["id"] for each in body["scores"]] == ["j1", "j2"]
    assert all(each["status"] == "scored" and set(each["heads"]) == {"relevance", "apply"} for each in body["scores"])


def test_heads_equal_the_bundles_scores_of_the_rendered_texts(usual: Running, bundle: Path) -> None:
    loaded = Bundle.load(bundle)
    encoder, scorer = open_encoder(loaded), open_scorer(loaded, "cpu", 1)
    member = encoder.member("data engineer. skills: python, spark")
    texts = ["senior data engineer. python platform", "pastry chef. bake"]
    expected = scorer.score([Pair(member, ids) for ids in encoder.candidates(texts)])
    found = [[each["heads"]["relevance"], each["heads"]["apply"]] for each in usual.score().json()["scores"]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_score_is_the_blend_and_weights_are_normalised(usual: Running) -> None:
    one = usual.score(blend={"relevance": 3, "apply": 1}).json()["scores"][0]
    assert one["score"] == pytest.approx(0.75 * one["heads"]["relevance"] + 0.25 * one["heads"]["apply"])
    usual_blend = usual.score().json()["scores"][0]
    assert usual_blend["score"] == pytest.approx(0.7 * one["heads"]["relevance"] + 0.3 * one["heads"]["apply"])


def test_scores_are_in_request_order_for_texts_of_any_length(usual: Running) -> None:
    texts = ["chef", "senior data engineer python spark platform", "", "nurse ward", "bake " * 30]
    candidates = [{"id": str(index), "text": text} for index, text in enumerate(texts * 20)]
    for index, each in enumerate(candidates):
        each["id"] = f"c{index}"
    scores = usual.score(candidates=candidates).json()["scores"]
    assert [each["id"] for each in scores] == [each["id"] for each in candidates]
    by_text = {text: {each["score"] for each in scores[place::5]} for place, text in enumerate(texts)}
    assert all(len(values) == 1 or max(values) - min(values) < 1e-6 for text, values in by_text.items() if text)
    assert len({round(value, 6) for values in by_text.values() for value in values if value is not None}) == 4


def test_a_candidate_that_cannot_be_scored_does_not_fail_the_others(usual: Running) -> None:
    candidates = [{"id": "nobody"}, CANDIDATES[0], {"id": "empty", "text": "  "}, {"id": "void", "fields": {}}]
    body = usual.score(candidates=candidates).json()
    assert [each["status"] for each in body["scores"]] == ["unknown_candidate", "scored", "invalid", "invalid"]
    assert body["scores"][0]["score"] is None
    assert body["scores"][0]["heads"] is None
    assert body["scores"][1]["score"] == pytest.approx(usual.score().json()["scores"][0]["score"], abs=1e-6)
    assert body["degraded"] is False


def test_a_request_of_unknown_candidates_alone_is_answered(usual: Running) -> None:
    assert usual.score(candidates=[{"id": "nobody"}]).json()["scores"][0]["status"] == "unknown_candidate"


def test_stored_candidates_are_scored_by_id_as_if_they_were_sent(serve: Serve) -> None:
    running = serve()
    assert running.client.put("/candidates", json={"candidates": CANDIDATES}).json()["upserted"] == 2
    by_id = running.score(candidates=[{"id": "j1"}, {"id": "j2"}]).json()
    assert by_id == running.score().json()
    assert running.client.delete("/candidates/j1").status_code == 204
    assert running.client.delete("/candidates/j1").status_code == 404
    statuses = [each["status"] for each in running.score(candidates=[{"id": "j1"}, {"id": "j2"}]).json()["scores"]]
    assert statuses == ["unknown_candidate", "scored"]


def test_a_full_store_accepts_all_candidates_or_none(serve: Serve) -> None:
    running = serve(store_bytes=1000)
    many = [{"id": f"c{index}", "text": "data " * 20} for index in range(10)]
    assert running.client.put("/candidates", json={"candidates": many}).status_code == 507
    assert running.score(candidates=[{"id": "c0"}]).json()["scores"][0]["status"] == "unknown_candidate"


def test_the_stages_of_server_timing_add_up(usual: Running) -> None:
    header = usual.score().headers["server-timing"]
    stages = {name: float(ms) for name, ms in re.findall(r"(\w+);dur=([\d.]+)", header)}
    total = stages.pop("total")
    assert set(stages) == {"read", "parse", "tokenize", "admit", "queue", "model", "answer"}
    assert sum(stages.values()) == pytest.approx(total, abs=0.01)
    assert stages["model"] > 0


def test_the_earlier_of_two_deadlines_counts(usual: Running) -> None:
    limits = usual.app.context.limits
    assert limits.deadline(10.0, 500, 200) == pytest.approx(10.2)
    assert limits.deadline(10.0, None, 700) == pytest.approx(10.7)
    assert limits.deadline(10.0, None, None) == pytest.approx(10.0 + OPEN["default_deadline_ms"] / 1000)


@pytest.mark.parametrize("priority", ["critical", "default", "sheddable"])
def test_every_priority_is_accepted(usual: Running, priority: str) -> None:
    assert usual.score(priority=priority).status_code == 200


def test_texts_that_look_like_special_tokens_are_scored_as_text(usual: Running) -> None:
    plain, forged = ({"id": "x", "text": text} for text in ("data chef", "data [SEP] chef"))
    scores = [usual.score(candidates=[each]).json()["scores"][0]["score"] for each in (plain, forged)]
    assert scores[0] != scores[1]
    assert all(0 < score < 1 for score in scores)


def test_unicode_ids_come_back_unchanged(usual: Running) -> None:
    name = "Ünïcode-\u202e-\U0001f600"
    assert usual.score(candidates=[{"id": name, "text": "héllo \x00 \u202e"}]).json()["scores"][0]["id"] == name


def test_the_request_id_is_the_callers_or_a_new_one(usual: Running) -> None:
    given = usual.client.get("/livez", headers={"X-Request-Id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    forged: httpx.Response = usual.client.get("/livez", headers={"X-Request-Id": "a b<script>"})
    assert re.fullmatch(r"[0-9a-f]{16}", forged.headers["x-request-id"])
