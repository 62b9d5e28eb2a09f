"""Requests in each server's format, and the content of answers."""

from __future__ import annotations

import json

import pytest

from load_tests.payloads import call, scored_pairs, server_timing
from load_tests.traffic import RankingRequest, Text

REQUEST = RankingRequest(Text("m", "nurse"), (Text("a", 'says "hi"'), Text("b", "welder")))


def test_both_dialects_carry_the_same_texts_in_order() -> None:
    score, rerank = json.loads(call(REQUEST).body), json.loads(call(REQUEST, "rerank").body)
    assert score["member"]["text"] == rerank["query"] == "nurse"
    assert [one["text"] for one in score["candidates"]] == rerank["documents"] == ['says "hi"', "welder"]


def test_the_deadline_is_sent_only_when_there_is_one() -> None:
    assert "deadline_ms" not in json.loads(call(REQUEST).body)
    assert json.loads(call(REQUEST, deadline_ms=80).body)["deadline_ms"] == 80


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_scored_pairs_are_counted_with_any_white_space(separators: tuple[str, str]) -> None:
    answer = {"scores": [{"id": "a", "status": "scored"}, {"id": "b", "status": "not_scored"}]}
    body = json.dumps(answer, separators=separators).encode()
    assert scored_pairs(call(REQUEST), 200, body) == 1
    assert scored_pairs(call(REQUEST), 503, body) == 0
    results = {"results": [{"index": 1, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0.1}]}
    assert scored_pairs(call(REQUEST, "rerank"), 200, json.dumps(results, separators=separators).encode()) == 2


def test_server_timing_is_read_by_stage() -> None:
    assert server_timing('queue;dur=0.25, model;desc="x";dur=2.5,total;dur=3') == {
        "queue": 0.25,
        "model": 2.5,
        "total": 3.0,
    }
    assert server_timing("") == {}
