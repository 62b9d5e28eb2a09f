"""The request guard: metric labels, disconnects, and decisions before the body is read."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, TypeVar

import pytest
from fastapi import FastAPI, Header
from starlette.testclient import TestClient

from service.app import create_app
from service.errors import Invalid
from service.http.context import ResponseNote
from service.http.guard import outcome_of, route_of
from service.http.header_limits import stated_deadline_ms
from service.http.schemas import DeadlineMs
from service.registry.loading import LiveModel
from tests.support.fakes import GatedScorer, load_tiny, loading
from tests.support.metrics import read
from tests.support.raw_http import BODY, connect, send
from tests.support.service import CANDIDATES, Listening, Running, Serve, ServeOnPort, busy, settings_of
from tests.support.waiting import PATIENCE_S, eventually

JSON = {"Content-Type": "application/json"}
R = TypeVar("R", bound=Running)


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/score", "/score"),
        ("/v2/rerank", "/rerank"),
        ("/candidates/a/b", "/candidates"),
        ("/v1/models/2:activate", "/v1/models"),
        ("/livez", "probe"),
        ("/metrics", "/metrics"),
        ("/../etc", "other"),
        ("", "other"),
    ],
)
def test_every_path_has_one_of_a_few_labels(path: str, label: str) -> None:
    assert route_of(path) == label


def test_every_status_has_an_outcome() -> None:
    full = ResponseNote(overloaded=True)
    found = [outcome_of(status, full) for status in (200, 204, 400, 404, 422, 429, 500, 503, 504, 507)]
    assert found == "ok ok invalid invalid invalid refused error overload deadline error".split()


@pytest.mark.parametrize("path", ["/readyz", "/startupz"])
def test_a_service_that_still_loads_is_not_overloaded(serve: Serve, path: str) -> None:
    gate = threading.Event()

    def load(bundle: Path) -> LiveModel:
        assert gate.wait(PATIENCE_S)
        return load_tiny(bundle)

    running = serve(load=load, wait=False)
    assert [running.client.get(path).status_code, running.score().status_code] == [503, 503]
    found = read(running)
    gate.set()
    assert found['fitscore_requests_total{outcome="unavailable",route="probe"}'] == 1
    assert found['fitscore_requests_total{outcome="unavailable",route="/score"}'] == 1
    assert not any(count for name, count in found.items() if 'outcome="overload"' in name)


def test_a_request_without_capacity_is_overload(serve: Serve) -> None:
    found = read(closed(serve))
    assert found['fitscore_requests_total{outcome="overload",route="/score"}'] == 2
    assert found['fitscore_requests_total{outcome="unavailable",route="/score"}'] == 0


GETS = ["/livez", "/readyz", "/startupz", "/metrics", "/v1/models", "/candidates:progress", "/openapi.json"]


@pytest.mark.parametrize("path", GETS)
def test_head_is_answered_as_get_without_the_body(usual_on_port: Listening, path: str) -> None:
    got, head = (usual_on_port.client.request(method, path) for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert got.content
    assert usual_on_port.client.get("/livez").json()["phase"] == "ready"  # the connection is still in step


def test_head_of_a_service_that_is_not_ready_is_503(serve: Serve) -> None:
    gate = threading.Event()
    running = serve(load=lambda path: (gate.wait(PATIENCE_S), load_tiny(path))[1], wait=False)
    answer = running.client.head("/readyz")
    gate.set()
    assert (answer.status_code, answer.content) == (503, b"")


ALLOWED = {
    "/livez": "GET, HEAD",
    "/metrics": "GET, HEAD",
    "/openapi.json": "GET, HEAD",
    "/score": "POST",
    "/rerank": "POST",
    "/v1/rerank": "POST",
    "/candidates": "PUT",
    "/candidates/a%20b": "DELETE",
    "/v1/models/2:activate": "POST",
}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ALLOWED)
def test_a_method_that_a_path_lacks_is_405_with_those_that_it_has(usual: Running, path: str, method: str) -> None:
    if method in ALLOWED[path].split(", "):
        return
    answer = usual.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, ALLOWED[path])


def test_an_unknown_path_allows_no_method(usual: Running) -> None:
    for method in ("HEAD", "OPTIONS", "PATCH"):
        answer = usual.client.request(method, "/none")
        assert (answer.status_code, "allow" in answer.headers) == (404, False)


def test_the_operations_port_answers_head_and_tells_what_it_allows(bundle: Path) -> None:
    app = create_app(settings_of(bundle, metrics_port=1))
    operations, callers = TestClient(app.operations), TestClient(app.guard)
    assert operations.head("/metrics").status_code == 200
    answer = operations.post("/livez")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert operations.options("/score").status_code == 404
    assert callers.options("/metrics").status_code == 404


def test_a_client_that_disconnects_frees_its_place_in_the_queue(serve_on_port: ServeOnPort) -> None:
    scorer = GatedScorer()
    running = serve_on_port(load=loading(scorer), default_deadline_ms=600_000)  # no deadline passes on a slow machine
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(running.score)
        assert scorer.began.wait(PATIENCE_S)
        with connect(running) as leaving:
            send(leaving, f"Content-Length: {len(BODY)}", body=BODY)
            eventually(lambda: read(running)["fitscore_queue_items"] >= 2)
        eventually(lambda: read(running)['fitscore_departed_items_total{lane="pair"}'] >= 2)
        assert read(running)["fitscore_queue_items"] == 0
        scorer.gate.set()
        assert first.result().status_code == 200
    assert scorer.num_pairs == 2
    assert read(running)['fitscore_requests_total{outcome="cancelled",route="/score"}'] == 1


def test_a_client_that_disconnects_while_sending_is_counted_as_cancelled(serve_on_port: ServeOnPort) -> None:
    running = serve_on_port()
    with connect(running) as leaving:
        send(leaving, "Content-Length: 1000", body=b"{")
    eventually(lambda: read(running)['fitscore_requests_total{outcome="cancelled",route="/score"}'])
    assert running.score().status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (("Content-Length: 99999999",), b"413"),
        (("Content-Length: 100", "Content-Encoding: br"), b"415"),
        (("Content-Length: 100", "X-Large: " + "x" * 40_000), b"431"),
    ],
)
def test_errors_in_headers_are_answered_before_the_body_arrives(
    usual_on_port: Listening, headers: tuple[str, ...], status: bytes
) -> None:
    with connect(usual_on_port) as connection:
        send(connection, *headers)
        assert connection.recv(4096).split()[1] == status


def test_an_overloaded_service_rejects_before_the_body_arrives(serve_on_port: ServeOnPort) -> None:
    with busy(serve_on_port) as running, connect(running) as connection:
        send(connection, "Content-Length: 100", "X-Deadline-Ms: 50")
        answer = connection.recv(4096)
        while b"request_id" not in answer:
            answer += connection.recv(4096)
    assert answer.split()[1] == b"503"
    assert b"retry-after" in answer.lower()
    assert b"urn:fitscore:overloaded" in answer


def test_after_a_rejection_an_equal_body_is_rejected_unparsed(serve: Serve) -> None:
    with busy(serve) as running:

        def post(body: bytes) -> int:
            return running.client.post("/score", content=body, headers={**JSON, "X-Deadline-Ms": "600000"}).status_code

        assert [post(body) for body in (BODY, b"x" * len(BODY), b"x")] == [503, 503, 400]


def closed(serve: Callable[..., R], **settings: object) -> R:
    """A service that has no capacity and never will."""
    running = serve(max_backlog_s=0, **settings)
    for stated in ("60000", "1"):
        answer = running.client.post("/score", content=BODY, headers={**JSON, "X-Deadline-Ms": stated})
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:fitscore:overloaded")
    return running


@pytest.mark.parametrize("path", ["/score", "/rerank"])
@pytest.mark.parametrize("stated", ["0", "-5", "600001", "soon", "1e3", "9" * 400, ""])
def test_an_invalid_deadline_gets_the_same_422_with_and_without_capacity(serve: Serve, stated: str, path: str) -> None:
    headers = {**JSON, "X-Deadline-Ms": stated}
    answer = [running.client.post(path, content=BODY, headers=headers).json() for running in (serve(), closed(serve))]
    assert [each.pop("request_id") for each in answer]
    assert answer[0] == answer[1]
    assert (answer[0]["status"], answer[0]["errors"][0]["header"]) == (422, "X-Deadline-Ms")


@pytest.mark.parametrize("stated", ["0", "-5", "600001", "soon", "1e3", "9" * 400, "", "1", "+60", "1_0", "007", "5.0"])
def test_the_guard_reads_the_deadline_header_as_fastapi_would(stated: str) -> None:
    api = FastAPI()

    @api.get("/")
    async def read(x_deadline_ms: Annotated[DeadlineMs | None, Header()] = None) -> int | None:
        return x_deadline_ms

    answer = TestClient(api).get("/", headers={"X-Deadline-Ms": stated})
    try:
        found = stated_deadline_ms({b"x-deadline-ms": stated.encode()})
    except Invalid:
        assert answer.status_code == 422
    else:
        assert answer.json() == found


def test_the_first_of_two_deadline_headers_counts(serve: Serve) -> None:
    with busy(serve) as running:
        twice = [*JSON.items(), ("X-Deadline-Ms", "50"), ("X-Deadline-Ms", "600000")]
        assert running.client.post("/score", content=BODY, headers=twice).status_code == 503
        twice = [*JSON.items(), ("X-Deadline-Ms", "soon"), ("X-Deadline-Ms", "600000")]
        assert running.client.post("/score", content=BODY, headers=twice).status_code == 422


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (("Content-Length: 2000",), b"413"),
        (("Content-Length: 100", "Content-Type: application/json"), b"415"),
        (("Content-Length: 100", "X-Large: " + "x" * 40_000), b"431"),
    ],
)
def test_without_capacity_a_permanent_error_is_not_answered_503(
    serve_on_port: ServeOnPort, headers: tuple[str, ...], status: bytes
) -> None:
    running = closed(serve_on_port, max_body_bytes=1000)
    with connect(running) as connection:
        kind = "text/plain" if status == b"415" else "application/json"  # the first of two counts
        send(connection, *headers, kind=kind)
        assert connection.recv(4096).split()[1] == status


def test_the_guard_does_not_assume_the_default_for_a_deadline_in_the_body(serve: Serve) -> None:
    """The default deadline is shorter than the backlog, and the deadline in this body is longer."""
    with ThreadPoolExecutor(1) as pool, busy(serve) as running:
        waiting = read(running)["fitscore_queue_items"]
        assert running.score().status_code == 503
        patient = pool.submit(running.score, candidates=CANDIDATES[:1], deadline_ms=200_000, priority="critical")
        eventually(lambda: read(running)["fitscore_queue_items"] != waiting or patient.done())
        assert not patient.done(), patient.result().text
        assert running.client.post("/rerank", json={"query": "chef", "documents": ["cook"]}).status_code == 503
    assert patient.result().status_code == 200


def test_without_capacity_requests_that_score_nothing_are_served(serve: Serve) -> None:
    running = serve(max_backlog_s=0)
    answer = running.client.put("/candidates", json={"candidates": CANDIDATES}, headers={"X-Deadline-Ms": "1"})
    assert answer.status_code == 200


def test_a_late_event_loop_rejects_before_the_body_arrives(serve: Serve) -> None:
    """The queue is empty, but a request would wait for the event loop itself."""
    running = serve()
    asked = {"X-Deadline-Ms": "120", "Content-Type": "application/json"}
    assert running.client.post("/score", content=BODY, headers={**asked, "X-Deadline-Ms": "600000"}).status_code == 200
    held: list[Callable[[], None]] = []
    loop = running.app.parts.engine._loop

    def hold() -> None:  # as slow work on the loop would, repeatedly
        time.sleep(0.2)
        if not held:
            loop.call_soon(hold)

    loop.call_soon_threadsafe(hold)
    eventually(lambda: running.app.context.metrics.runtime.loop_lag_s >= 0.12)
    answer = running.client.post("/score", content=BODY, headers=asked)
    held.append(hold)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:fitscore:overloaded")
    eventually(lambda: running.app.context.metrics.runtime.loop_lag_s <= 0.1)
    assert running.client.post("/score", content=BODY, headers={**asked, "X-Deadline-Ms": "600000"}).status_code == 200


def test_garbage_instead_of_http_is_answered_400(usual_on_port: Listening) -> None:
    with connect(usual_on_port) as connection:
        connection.sendall(b"\x00\xff garbage\r\n\r\n")
        assert connection.recv(4096).split()[1] == b"400"
    assert usual_on_port.client.get("/livez").status_code == 200
