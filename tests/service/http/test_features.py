"""Features of candidates, from the wire to the scores: declared, missing, clipped, invalid, undeclared, explained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from models.bundle.manifest import TextSpec
from models.features import Features
from models.text import TextEncoder
from tests.support.bundles import HEADS, TEMPLATE, tokenizer_json
from tests.support.service import Running, Serve
from tests.support.split_bundles import FEATURES, expected_logits, write_split_bundle

TEXT, MEMBER = "senior data engineer", "data engineer python"
DECLARED = Features(FEATURES)


@pytest.fixture
def running(serve: Serve, tmp_path: Path) -> Running:
    write_split_bundle(tmp_path / "tiny-v1", features=FEATURES)
    return serve(bundle=tmp_path / "tiny-v1")


def candidates(*features: object, text: str | None = TEXT) -> list[dict[str, Any]]:
    """Candidates of one text with these features, without the text if it is None."""
    content = {} if text is None else {"text": text}
    return [{"id": f"c{place}", **content, "features": each} for place, each in enumerate(features)]


def score(running: Running, sent: Sequence[Mapping[str, Any]], **changes: object) -> list[dict[str, Any]]:
    answer = running.score(member={"text": MEMBER}, candidates=sent, **changes)
    assert answer.status_code == 200, answer.text
    scores: list[dict[str, Any]] = answer.json()["scores"]
    return scores


def expected(features: Mapping[str, object] | None, declared: Features = DECLARED) -> dict[str, float]:
    """The heads by the graphs' formula in numpy."""
    encoder = TextEncoder(tokenizer_json(), 16, 16)
    inputs = declared.read([features]).values[0]
    logits = expected_logits(encoder.member(MEMBER), encoder.candidates([TEXT])[0], inputs=inputs)
    return {head.name: float(head.calibration.apply(x)) for head, x in zip(HEADS, logits, strict=True)}


def test_features_change_the_scores_of_equal_texts(running: Running) -> None:
    sent: list[dict[str, object] | None] = [{"price": 200}, {"price": 0, "km": 80.5}, {}, None, {"km": None}]
    for _ in range(2):  # the second time all slots are cached
        scores = score(running, candidates(*sent))
        assert [each["heads"] for each in scores] == [pytest.approx(expected(each), abs=1e-4) for each in sent]
    assert len({each["score"] for each in scores}) == 3
    assert not any("warnings" in each for each in scores)


def test_a_feature_out_of_range_is_clipped_with_a_warning_of_that_candidate(running: Running) -> None:
    scores = score(running, candidates({"price": 1e9, "km": -1}, {"price": 200, "km": 0}))
    assert scores[0]["heads"] == scores[1]["heads"]
    (warning,) = scores[0]["warnings"]
    assert (warning["code"], warning["fields"]) == ("clipped_feature", ["price", "km"])
    assert "warnings" not in scores[1]


@pytest.mark.parametrize("value", ["12", True, [1.0], {"a": 1}])
def test_a_feature_that_is_no_number_makes_its_candidate_invalid_and_no_other(running: Running, value: object) -> None:
    scores = score(running, candidates({"price": 60}, {"price": value}, {"price": 60}))
    assert [each["status"] for each in scores] == ["scored", "invalid", "scored"]
    assert scores[0]["heads"] == pytest.approx(expected({"price": 60}), abs=1e-4)
    assert (scores[1]["score"], scores[1]["heads"]) == (None, None)
    (warning,) = scores[1]["warnings"]
    assert warning == {"code": "bad_feature", "detail": "feature 'price' is not a number", "fields": ["price"]}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_json_does_not_have_are_no_json(running: Running, number: str) -> None:
    body = '{"member": {"text": "chef"}, "candidates": [{"id": "a", "text": "chef", "features": {"price": %s}}]}'
    answer = running.client.post("/score", content=body % number, headers={"content-type": "application/json"})
    assert answer.status_code == 400


def test_undeclared_features_are_refused_by_name(running: Running) -> None:
    sent = candidates({"price": 1}, {"prise": 1, "a/b~": 2}, {"km": 1, "x": 1})
    answer = running.score(member={"text": MEMBER}, candidates=sent)
    assert answer.status_code == 422
    errors = answer.json()["errors"]
    places = ["/candidates/1/features/a~1b~0", "/candidates/1/features/prise", "/candidates/2/features/x"]
    assert [each["pointer"] for each in errors] == places
    assert errors[1]["detail"] == "is not a feature of the model; did you mean price?"
    assert answer.json()["detail"] == f"{places[0]} is not a feature of the model; it has km, price"


@pytest.mark.parametrize("kind", ["cross", "split"])
def test_a_bundle_without_features_refuses_them_and_scores_as_before(serve: Serve, tmp_path: Path, kind: str) -> None:
    if kind == "split":
        write_split_bundle(tmp_path / "tiny-v1")
    running = serve(bundle=tmp_path / "tiny-v1") if kind == "split" else serve()
    refused = running.score(candidates=candidates({"price": 1}))
    assert refused.status_code == 422
    assert refused.json()["errors"][0] == {
        "pointer": "/candidates/0/features/price",
        "detail": "is not a feature of the model; it has none",
    }
    plain = score(running, [{"id": "c0", "text": TEXT}])
    assert score(running, candidates({})) == score(running, candidates(None)) == plain


def test_stored_features_count_unless_the_request_has_others(running: Running) -> None:
    stored = [*candidates({"price": 200, "km": 10}, {"price": 20, "km": None}), {"id": "c2", "text": TEXT}]
    assert running.client.put("/candidates", json={"candidates": stored}).status_code == 200
    sent = [{"id": "c0"}, {"id": "c1"}, {"id": "c2"}]
    kept: list[dict[str, object]] = [{"price": 200, "km": 10}, {"price": 20}, {}]
    found = score(running, sent)
    assert [each["heads"] for each in found] == [pytest.approx(expected(each), abs=1e-4) for each in kept]
    own: list[dict[str, object]] = [{"km": 90}, {"price": None}, {"price": 0}]
    found = score(running, candidates(*own, text=None))
    assert [each["heads"] for each in found] == [
        pytest.approx(expected(each), abs=1e-4) for each in ({"price": 200, "km": 90}, {"price": 20}, {"price": 0})
    ]
    # A candidate that is stored again without features has none.
    assert running.client.put("/candidates", json={"candidates": [{"id": "c0", "text": TEXT}]}).status_code == 200
    assert score(running, [{"id": "c0"}])[0]["heads"] == pytest.approx(expected({}), abs=1e-4)


@pytest.mark.parametrize(
    ("features", "pointer"),
    [({"prise": 1}, "/candidates/0/features/prise"), ({"price": "1"}, "/candidates/0/features/price")],
)
def test_a_put_refuses_undeclared_features_and_those_that_are_no_numbers(
    running: Running, features: object, pointer: str
) -> None:
    refused = running.client.put("/candidates", json={"candidates": candidates(features)})
    assert refused.status_code == 422
    assert [each["pointer"] for each in refused.json()["errors"]] == [pointer]
    assert score(running, [{"id": "c0"}])[0]["status"] == "unknown_candidate"


def test_heads_are_returned_by_name_and_the_score_stays_the_same(running: Running) -> None:
    whole = score(running, candidates({"price": 9}))[0]
    one = score(running, candidates({"price": 9}), heads=["apply"])[0]
    assert one["heads"] == {"apply": whole["heads"]["apply"]}
    assert one["score"] == whole["score"]
    refused = running.score(heads=["apply", "aply"])
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {"pointer": "/heads/1", "detail": "names an unknown head; this model's heads are relevance, apply"}
    ]


def test_an_explanation_says_what_each_head_changes_without_a_feature(running: Running) -> None:
    full: list[dict[str, object]] = [{"price": 200, "km": 40}, {}, {"km": 40}, {"price": "x"}]
    found = score(running, candidates(*full), explain=True)
    without_price, without_km = expected({"km": 40}), expected({"price": 200})
    here = expected({"price": 200, "km": 40})
    for head in ("relevance", "apply"):
        changes = found[0]["explain"][head]
        assert changes["price"] == pytest.approx(without_price[head] - here[head], abs=1e-4)
        assert changes["km"] == pytest.approx(without_km[head] - here[head], abs=1e-4)
        assert found[1]["explain"][head] == {"price": 0, "km": 0}
        assert found[2]["explain"][head]["price"] == 0
        assert found[2]["explain"][head]["km"] == pytest.approx(
            expected({})[head] - expected({"km": 40})[head], abs=1e-4
        )
    assert found[3]["explain"] is None
    assert [each["heads"] for each in found[:3]] == [each["heads"] for each in score(running, candidates(*full[:3]))]
    assert list(score(running, candidates(full[0]), explain=True, heads=["apply"])[0]["explain"]) == ["apply"]


def test_an_explanation_of_a_model_without_features_is_empty(serve: Serve) -> None:
    found = score(serve(), [{"id": "c0", "text": TEXT}], explain=True)[0]
    assert found["explain"] == {"relevance": {}, "apply": {}}


def test_a_rollout_of_a_version_with_other_features_takes_what_either_declares(serve: Serve, tmp_path: Path) -> None:
    """A caller sends the same features to both; what one of them does not have is named."""
    write_split_bundle(tmp_path / "tiny-v1", features=FEATURES[:1])
    write_split_bundle(tmp_path / "tiny-v2", features=FEATURES, version="2")
    running = serve(bundle=tmp_path / "tiny-v1")
    sent = candidates({"price": 10, "km": 30})
    assert running.score(candidates=sent).status_code == 422
    assert running.client.post("/v1/models/2:canary", json={"share": 0.5}).status_code == 200
    by_version: dict[str, dict[str, Any]] = {}
    for number in range(40):
        answer = running.score(member={"id": f"m{number}", "text": MEMBER}, candidates=sent).json()
        by_version[answer["model"]["version"]] = answer["scores"][0]
    first = Features(FEATURES[:1])
    assert by_version["1"]["heads"] == pytest.approx(expected({"price": 10}, first), abs=1e-4)
    assert [each["code"] for each in by_version["1"]["warnings"]] == ["unused_feature"]
    assert by_version["2"]["heads"] == pytest.approx(expected({"price": 10, "km": 30}), abs=1e-4)
    assert "warnings" not in by_version["2"]
    # After a rollback a caller that sends the newer features is not refused.
    assert running.client.post("/v1/models/2:activate").status_code == 200
    assert running.client.post("/v1/models/2:rollback").status_code == 200
    assert score(running, sent)[0]["warnings"][0]["fields"] == ["km"]


def test_a_quota_counts_each_run_of_an_explanation(serve: Serve, tmp_path: Path) -> None:
    write_split_bundle(tmp_path / "tiny-v1", features=FEATURES)
    running = serve(bundle=tmp_path / "tiny-v1", quota_pairs_per_s=0.001, quota_burst=8)
    sent = candidates({"price": 1}, {"price": 2})  # three runs of two candidates
    assert running.score(candidates=sent, explain=True).status_code == 200
    assert running.score(candidates=sent).status_code == 200
    assert running.score(candidates=sent[:1]).status_code == 429


def test_a_candidate_that_is_read_in_chunks_has_its_features_in_each(serve: Serve, tmp_path: Path) -> None:
    text = TextSpec(
        tokenizer="tokenizer.json", member_tokens=16, candidate_tokens=16, layout="texts", template=TEMPLATE, chunks=4
    )
    write_split_bundle(tmp_path / "tiny-v1", features=FEATURES, text=text)
    running = serve(bundle=tmp_path / "tiny-v1")
    long = "senior data engineer python " * 3 + "nurse ward hotel bake pastry chef. " * 4
    priced: dict[str, object] = {"price": 200, "km": 10}
    sent: list[dict[str, object]] = [
        {"id": "long", "text": long, "features": priced},
        {"id": "short", "text": TEXT, "features": priced},
        {"id": "plain", "text": long},
        {"id": "free", "text": long, "features": {"km": 10}},
    ]
    found = score(running, sent, explain=True)
    assert found[1]["heads"] == pytest.approx(expected(priced), abs=1e-4)
    assert found[0]["heads"] != found[2]["heads"]
    for head in ("relevance", "apply"):
        change = found[3]["heads"][head] - found[0]["heads"][head]
        assert found[0]["explain"][head]["price"] == pytest.approx(change, abs=1e-6)
        assert found[2]["explain"][head] == {"price": 0, "km": 0}
