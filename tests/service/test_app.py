"""The errors of the wire contract, one by one, over HTTP. No response repeats what was sent."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from service.registry.loading import LiveModel
from service.registry.swap import Load
from tests.support.fakes import GatedScorer, SumScorer, loading
from tests.support.service import CANDIDATES, MEMBER, Running, Serve, busy
from tests.support.waiting import PATIENCE_S, eventually

CANARY = "canary-7c1f"
JSON = {"Content-Type": "application/json"}
BODY: dict[str, Any] = {"member": MEMBER, "candidates": CANDIDATES}


def problem_of(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem in a response, after a check of its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["type"] == f"urn:fitscore:{kind}"
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    assert found["request_id"] == answer.headers["x-request-id"]
    assert CANARY not in answer.text
    return found


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"member": NaN}',
        b"[Infinity]",
        b"[1e400]",
        b'"\\ud800"',
        b"[" * 100_000,
        b"\xff",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
    ],
    ids=["empty", "cut", "nan", "infinity", "too-large-a-number", "lone-surrogate", "deep", "not-utf8", "two-boms"],
)
@pytest.mark.parametrize("path", ["/score", "/rerank"])
def test_400_for_invalid_json(usual: Running, raw: bytes, path: str) -> None:
    problem_of(usual.client.post(path, content=raw, headers=JSON), 400, "not-json")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"extra": CANARY}, ""),
        ({f"{CANARY}" + "/~" * 40: 1}, ""),
        ({"member": {}}, "/member"),
        ({"member": {"text": CANARY, "fields": {"a": CANARY}}}, "/member"),
        ({"member": {"text": ""}}, "/member"),
        ({"member": {"text": "x", "fields": None, "id": ""}}, "/member/id"),
        ({"candidates": []}, "/candidates"),
        ({"candidates": CANARY}, "/candidates"),
        ({"candidates": [{"text": CANARY}]}, "/candidates/0/id"),
        ({"candidates": [{"id": "a", "text": CANARY}, {"id": "a"}]}, "/candidates/1/id"),
        ({"candidates": [{"id": "a", "text": CANARY, CANARY: 1}]}, "/candidates/0"),
        ({"candidates": [{"id": "a", "text": CANARY, "fields": {}}]}, "/candidates/0"),
        ({"member": {"fields": {"headline": {"deep": CANARY}}}}, "/member/fields/headline"),
        ({"member": {"fields": {"skills": ["a", [CANARY]]}}}, "/member/fields/skills/1"),
        ({"member": {"fields": {CANARY: True}}}, "/member/fields"),
        ({"candidates": [{"id": str(i)} for i in range(1001)]}, "/candidates"),
        ({"blend": {CANARY: 1.0}}, "/blend"),
        ({"blend": {"relevance": -1}}, "/blend/relevance"),
        ({"blend": {CANARY: -1}}, "/blend"),
        ({"blend": {"relevance": 0}}, "/blend"),
        ({"blend": {}}, "/blend"),
        ({"blend": {"relevance": 1e308, "apply": 1e308}}, "/blend"),
        ({"deadline_ms": 0}, "/deadline_ms"),
        ({"deadline_ms": 600_001}, "/deadline_ms"),
        ({"deadline_ms": CANARY}, "/deadline_ms"),
        ({"priority": CANARY}, "/priority"),
    ],
)
def test_422_names_the_field_and_not_its_value(usual: Running, changes: dict[str, Any], pointer: str) -> None:
    answer = usual.client.post("/score", json={**BODY, **changes})
    found = problem_of(answer, 422, "invalid")
    assert [each["pointer"] for each in found["errors"]] == [pointer]
    assert found["detail"] == f"{pointer or 'the body'} {found['errors'][0]['detail']}"


@pytest.mark.parametrize("stated", ["0", "-5", "600001", "soon", "1e3", "9" * 400])
def test_422_for_an_invalid_deadline_header(usual: Running, stated: str) -> None:
    answer = usual.client.post("/score", json=BODY, headers={"X-Deadline-Ms": stated})
    assert problem_of(answer, 422, "invalid")["errors"][0]["header"] == "X-Deadline-Ms"


KEYS = {"api_keys": "web:s3cret:score,ops:0ther:candidates+admin"}


def test_401_without_a_key_or_with_a_wrong_one(serve: Serve) -> None:
    client = serve(**KEYS).client
    for headers in ({}, {"Authorization": f"Bearer {CANARY}"}, {"Authorization": "Basic s3cret"}):
        answer = client.post("/score", json=BODY, headers=headers)
        problem_of(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert client.post("/score", json=BODY, headers={"Authorization": "Bearer s3cret"}).status_code == 200
    assert client.get("/readyz").status_code == 200


def test_403_with_a_key_that_lacks_the_scope(serve: Serve) -> None:
    client = serve(**KEYS).client
    web, ops = ({"Authorization": f"Bearer {key}"} for key in ("s3cret", "0ther"))
    problem_of(client.put("/candidates", json={"candidates": CANDIDATES}, headers=web), 403, "forbidden")
    problem_of(client.get("/v1/models", headers=web), 403, "forbidden")
    problem_of(client.post("/score", json=BODY, headers=ops), 403, "forbidden")
    assert client.put("/candidates", json={"candidates": CANDIDATES}, headers=ops).status_code == 200
    assert client.get("/v1/models", headers=ops).status_code == 200


def test_413_by_the_stated_length_and_while_streaming(serve: Serve) -> None:
    client = serve(max_body_bytes=1000).client
    body = json.dumps({**BODY, "padding": CANARY * 200}).encode()
    problem_of(client.post("/score", content=body, headers=JSON), 413, "too-large")

    def chunks() -> Iterator[bytes]:
        yield from (body[start : start + 100] for start in range(0, len(body), 100))

    problem_of(client.post("/score", content=chunks(), headers=JSON), 413, "too-large")
    assert client.post("/score", json=BODY).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Type": "text/plain"}, {**JSON, "Content-Encoding": "br"}],
    ids=["none", "text", "compressed"],
)
def test_415_for_anything_but_plain_json(usual: Running, headers: dict[str, str]) -> None:
    answer = usual.client.post("/score", content=json.dumps(BODY).encode(), headers=headers)
    problem_of(answer, 415, "unsupported-media")


def test_431_for_too_many_header_bytes_or_headers(usual: Running) -> None:
    large = usual.client.get("/livez", headers={"X-Large": CANARY * 4000})
    problem_of(large, 431, "headers-too-large")
    many = usual.client.get("/livez", headers={f"X-{i}": "1" for i in range(101)})
    problem_of(many, 431, "headers-too-large")


def test_429_when_the_caller_is_over_its_quota(serve: Serve) -> None:
    running = serve(quota_pairs_per_s=0.001, quota_burst=2)
    assert running.score().status_code == 200
    answer = running.score()
    problem_of(answer, 429, "quota-spent")
    assert int(answer.headers["retry-after"]) >= 1


def test_503_without_the_capacity_to_finish_in_time(serve: Serve) -> None:
    with busy(serve) as running:
        answers = [running.score(deadline_ms=100), running.client.post("/score", json={**BODY, "deadline_ms": 8000})]
    for answer in answers:
        problem_of(answer, 503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1


def loading_behind(gate: threading.Event) -> Load:
    """A loader that waits for the gate."""
    load = loading(SumScorer())

    def wait(path: Path) -> LiveModel:
        assert gate.wait(PATIENCE_S)
        return load(path)

    return wait


def test_503_before_a_model_is_loaded_while_probes_are_answered(serve: Serve) -> None:
    gate = threading.Event()
    running = serve(load=loading_behind(gate), wait=False)
    client = running.client
    assert [client.get(probe).status_code for probe in ("/livez", "/readyz", "/startupz")] == [200, 503, 503]
    answer = running.score()
    problem_of(answer, 503, "not-ready")
    assert int(answer.headers["retry-after"]) >= 1
    gate.set()
    eventually(lambda: client.get("/readyz").json()["phase"] != "loading")
    assert [client.get(probe).status_code for probe in ("/livez", "/readyz", "/startupz")] == [200, 200, 200]
    assert running.score().status_code == 200


def test_refused_requests_are_not_charged(serve: Serve) -> None:
    running = serve(quota_pairs_per_s=0.001, quota_burst=len(CANDIDATES), max_backlog_s=0)
    answers = [running.score() for _ in range(4)]
    assert {answer.json()["type"] for answer in answers} == {"urn:fitscore:overloaded"}
    quotas = running.app.context.products.default.quotas
    assert quotas is not None
    quotas.take("anyone", len(CANDIDATES), time.monotonic())  # its whole burst is left


def test_what_was_scored_is_charged_and_a_refusal_in_between_is_not(serve: Serve) -> None:
    running = serve(quota_pairs_per_s=0.001, quota_burst=2 * len(CANDIDATES))
    statuses = [running.score(**change).status_code for change in ({}, {"blend": {"unknown": 1}}, {}, {})]
    assert statuses == [200, 422, 200, 429]


def test_a_request_whose_deadline_passes_during_its_work_is_charged(serve: Serve) -> None:
    scorer = GatedScorer()
    running = serve(load=loading(scorer), quota_pairs_per_s=0.001, quota_burst=len(CANDIDATES))
    statuses = [running.score(deadline_ms=1000).status_code, running.score().status_code]
    scorer.gate.set()
    assert statuses == [504, 429]


def test_504_when_the_deadline_passes_while_the_model_runs(serve: Serve) -> None:
    scorer = GatedScorer()
    running = serve(load=loading(scorer))
    answer = running.client.post("/score", json=BODY, headers={"X-Deadline-Ms": "1000"})
    problem_of(answer, 504, "deadline-passed")
    scorer.gate.set()


def test_404_and_405_are_problems_too(usual: Running) -> None:
    problem_of(usual.client.get(f"/{CANARY}"), 404, "not-found")
    problem_of(usual.client.post("/scores", json={}), 404, "not-found")
    answer = usual.client.get("/score")
    problem_of(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"
    problem_of(usual.client.post("/livez"), 405, "method-not-allowed")
    problem_of(usual.client.delete(f"/candidates/{CANARY}"), 404, "not-found")


def test_500_is_a_problem_without_details_and_logs_no_text(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = serve()

    def fail(*_: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(running.app.parts.encoding.texts, "pairs", fail)
    with caplog.at_level(logging.DEBUG):
        found = problem_of(running.score(), 500, "internal")
        assert running.client.get("/livez").status_code == 200  # the failure is logged while its response is sent
    assert found["request_id"] in caplog.text
    assert CANARY not in caplog.text


def test_a_failing_pair_gets_a_status_and_makes_the_response_degraded(serve: Serve) -> None:
    def spoil(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(rows[:, 1:] == rows[0, 1], np.nan, rows).astype(np.float32)

    body = serve(load=loading(SumScorer(spoil))).score().json()
    assert sorted(each["status"] for each in body["scores"]) == ["failed", "scored"]
    assert body["degraded"] is True


def test_no_text_of_a_request_is_in_a_log_or_a_metric(
    serve: Serve, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG, logger="fitscore"):
        running = serve()
        candidates = [{"id": CANARY, "text": CANARY}, {"id": "b", "fields": {CANARY: CANARY}}]
        assert running.score(member={"id": CANARY, "text": CANARY}, candidates=candidates).status_code == 200
        running.client.put("/candidates", json={"candidates": candidates})
        running.score(member={"text": CANARY, CANARY: 1})
        running.client.post("/rerank", json={"query": CANARY, "documents": [CANARY]})
        assert CANARY not in running.client.get("/metrics").text
    assert CANARY not in caplog.text
    assert CANARY not in "".join(capfd.readouterr())


def test_a_draining_service_is_not_ready_but_still_serves(serve: Serve) -> None:
    running = serve()
    running.app.context.lifecycle.drain()
    assert [running.client.get(probe).status_code for probe in ("/livez", "/readyz", "/startupz")] == [200, 503, 200]
    assert running.score().status_code == 200


def test_a_dead_engine_is_not_live(serve: Serve) -> None:
    running = serve()
    running.app.parts.engine.fail_all("test")
    assert [running.client.get(probe).status_code for probe in ("/livez", "/readyz")] == [503, 503]
    problem_of(running.score(), 503, "not-ready")


def test_a_model_that_cannot_be_loaded_is_reported_once(serve: Serve) -> None:
    def load(_: Any) -> Any:
        raise RuntimeError(CANARY)

    running = serve(load=load)
    assert len(running.failures) == 1
    assert "could not be loaded: RuntimeError" in running.failures[0]
    assert running.client.get("/livez").status_code == 503


def test_a_service_drained_while_it_loads_never_becomes_ready(serve: Serve) -> None:
    gate = threading.Event()
    running = serve(load=loading_behind(gate), wait=False)
    eventually(lambda: running.client.get("/startupz").json()["phase"] == "loading")
    running.app.context.lifecycle.drain()
    gate.set()
    eventually(lambda: running.client.get("/startupz").status_code == 200)
    assert running.client.get("/readyz").json() == {"phase": "draining"}
