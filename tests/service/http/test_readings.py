"""How texts are read, in the answer of POST /score: what is cut, what the model does not know, what it cannot read."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.metrics import read
from tests.support.service import CANDIDATES, Running, Serve
from tests.support.split_bundles import write_split_bundle

UNREADABLE = ["\u200b", "\u00ad\ufeff", "\x00", "无线鼠标", "无 线 鼠 标", "\u200b\u200d \u2060"]


@pytest.fixture(params=["cross", "split"])
def running(request: pytest.FixtureRequest, serve: Serve, tmp_path: Path) -> Running:
    """A service with each kind of model; a text has 16 tokens at most."""
    if request.param == "cross":
        return serve()
    write_split_bundle(tmp_path / "tiny-v1")
    return serve(bundle=tmp_path / "tiny-v1")


def candidates(*contents: object) -> list[dict[str, Any]]:
    """Candidates with these texts or fields."""
    named = ["text" if isinstance(each, str) else "fields" for each in contents]
    return [{"id": f"c{place}", name: each} for place, (name, each) in enumerate(zip(named, contents, strict=True))]


def test_each_text_says_how_many_tokens_are_read_and_cut(running: Running) -> None:
    body = {"member": {"text": "data " * 20}, "candidates": candidates("chef", "bake " * 30, " ", "[SEP]")}
    for _ in range(2):  # the second time nothing is tokenised
        answer = running.score(**body).json()
        assert answer["member"] == {"tokens_read": 16, "tokens_cut": 4}
        found = [(each["tokens_read"], each["tokens_cut"]) for each in answer["scores"]]
        assert found == [(1, 0), (16, 14), (0, 0), (5, 0)]


def test_the_counts_of_stored_candidates_are_those_of_sent_ones(running: Running) -> None:
    sent = candidates("chef", "bake " * 30, {"title": "chef", "skils": "bake"})
    assert running.client.put("/candidates", json={"candidates": sent}).status_code == 200
    by_id = [{"id": each["id"]} for each in sent]
    assert running.score(candidates=by_id).json() == running.score(candidates=sent).json()


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_text_of_which_nothing_can_be_read_is_invalid(running: Running, text: str) -> None:
    for _ in range(2):
        scores = running.score(candidates=candidates("chef", text)).json()["scores"]
        assert [each["status"] for each in scores] == ["scored", "invalid"]
        assert scores[1]["score"] is None
    refused = running.score(member={"text": text})
    assert refused.status_code == 422
    assert [each["pointer"] for each in refused.json()["errors"]] == ["/member"]


def test_a_text_with_many_unknown_tokens_has_a_warning(running: Running) -> None:
    texts = ["chef", "无 chef chef chef", "无 chef chef chef chef"]
    scores = running.score(candidates=candidates(*texts)).json()["scores"]
    assert [[each["code"] for each in score.get("warnings", ())] for score in scores] == [[], ["unknown_tokens"], []]
    assert scores[1]["warnings"][0]["detail"] == "1 of 4 tokens are not in the model's vocabulary"


def test_fields_that_the_template_lacks_are_named(running: Running) -> None:
    member = {"fields": {"headline": "chef", "preferences": "bake", "terms": "x"}}
    answer = running.score(member=member, candidates=candidates({"title": "chef", "skils": ["a"]}, "chef")).json()
    (warning,) = answer["member"]["warnings"]
    assert (warning["code"], warning["fields"]) == ("unknown_field", ["preferences", "terms"])
    (warning,) = answer["scores"][0]["warnings"]
    assert (warning["code"], warning["fields"]) == ("unknown_field", ["skils"])
    assert "warnings" not in answer["scores"][1]


def test_a_strict_request_refuses_fields_that_the_template_lacks(running: Running) -> None:
    member = {"fields": {"headline": "chef", "preferences": "bake"}}
    refused = running.score(member=member, candidates=candidates("chef", {"titel": "chef"}), strict=True)
    assert refused.status_code == 422
    assert [each["pointer"] for each in refused.json()["errors"]] == ["/member/fields", "/candidates/1/fields"]
    assert refused.json()["errors"][1]["detail"].endswith("did you mean title?")
    assert running.score(strict=True).status_code == 200


def test_what_was_read_is_counted(running: Running) -> None:
    before = read(running)
    sent = candidates("bake " * 30, "无 chef", {"titel": "chef chef"}, {"title": True})
    assert running.score(member={"text": "data"}, candidates=sent).status_code == 200
    found = {name: value - before[name] for name, value in read(running).items() if name in before}
    side = "candidate"
    tokens = [found[f'fitscore_text_tokens_total{{part="{part}",side="{side}"}}'] for part in ("cut", "unknown")]
    assert tokens == [14, 1 + 1]  # 无, and the colon after the name
    assert found['fitscore_text_tokens_total{part="read",side="member"}'] == 1
    for code in ("unknown_field", "unknown_tokens", "bad_field"):
        assert found[f'fitscore_text_warnings_total{{code="{code}"}}'] == 1


BAD: list[dict[str, object]] = [
    {"fields": {"title": True}},
    {"fields": {"title": {"en": "chef"}}},
    {"fields": {"title": ["chef", ["bake"]]}},
    {"fields": {"title": [False]}},
    {"fields": {f"field{number}": "chef" for number in range(101)}},
    {"text": True},
    {"text": ["chef"]},
]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_candidate_is_invalid_and_fails_no_other(running: Running, bad: dict[str, object]) -> None:
    answer = running.score(candidates=[*CANDIDATES, {"id": "bad", **bad}])
    assert [each["status"] for each in answer.json()["scores"]] == ["scored", "scored", "invalid"]
    (warning,) = answer.json()["scores"][2]["warnings"][:1]
    assert warning["code"] == "bad_field"


def test_null_is_empty(running: Running) -> None:
    sent = candidates({"title": "chef", "brand": None}, {"title": ["chef", None]}, {"title": "chef"})
    answer = running.score(member={"fields": {"headline": "chef", "skills": None}}, candidates=sent).json()
    assert len({each["score"] for each in answer["scores"]}) == 1
    put = running.client.put("/candidates", json={"candidates": [{"id": "n", "fields": {"title": "chef", "x": None}}]})
    assert put.status_code == 200


def test_of_a_text_that_is_far_too_long_the_start_is_read(serve: Serve) -> None:
    running = serve(max_text_chars=100)
    long = "chef " * 15 + "data " * 1000
    answer = running.score(member={"text": long}, candidates=candidates(long, {"title": long}, "chef " * 15 + "data"))
    scores = answer.json()["scores"]
    assert len({each["score"] for each in scores}) == 1
    codes = [[each["code"] for each in score.get("warnings", ())] for score in scores]
    assert codes == [["too_long"], ["too_long"], []]
    assert answer.json()["member"]["warnings"][0]["code"] == "too_long"
    stored = {"candidates": [{"id": "a", "text": long}]}
    assert running.client.put("/candidates", json=stored).status_code == 422


def test_warnings_are_no_part_of_logs_and_metrics_but_by_code(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    running.score(candidates=[{"id": "a", "fields": {"canary7c1f": "chef"}}, {"id": "b", "fields": {"canary7c1f": {}}}])
    assert "canary7c1f" not in running.client.get("/metrics").text + caplog.text


def test_a_request_without_warnings_has_none(running: Running) -> None:
    answer = running.score(member={"text": "data engineer"}, candidates=candidates("chef", {"title": "pastry"}))
    assert "warnings" not in json.dumps(answer.json())
