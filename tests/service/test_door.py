"""The door: labels, callers that leave, and what is decided without reading the body."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.door import outcome_of, route_of
from tests.fakes import PATIENCE_S, GatedScorer, loading
from tests.service.conftest import CANDIDATES, MEMBER, Running, Serve, busy
from tests.service.test_metrics import read

BODY = json.dumps({"member": MEMBER, "candidates": CANDIDATES}).encode()


def connect(running: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE_S)


def send(connection: socket.socket, *headers: str, body: bytes = b"", path: str = "/score") -> None:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers]
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)


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
    found = [outcome_of(status) for status in (200, 204, 400, 404, 422, 429, 500, 503, 504, 507)]
    assert found == "ok ok invalid invalid invalid refused error overload deadline error".split()


def test_a_caller_that_hangs_up_frees_its_place(serve: Serve) -> None:
    scorer = GatedScorer()
    running = serve(load=loading(scorer))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(running.score)
        assert scorer.began.wait(PATIENCE_S)
        with connect(running) as leaving:
            send(leaving, f"Content-Length: {len(BODY)}", body=BODY)
            while read(running)["fitscore_queue_pairs"] < 2:
                pass
        while read(running)["fitscore_departed_pairs_total"] < 2:
            pass
        assert read(running)["fitscore_queue_pairs"] == 0
        scorer.gate.set()
        assert first.result().status_code == 200
    assert scorer.num_pairs == 2
    assert read(running)['fitscore_requests_total{outcome="cancelled",route="/score"}'] == 1


def test_a_caller_that_leaves_while_sending_is_let_go(serve: Serve) -> None:
    running = serve()
    with connect(running) as leaving:
        send(leaving, "Content-Length: 1000", body=b"{")
    while not read(running)['fitscore_requests_total{outcome="cancelled",route="/score"}']:
        pass
    assert running.score().status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (("Content-Length: 99999999",), b"413"),
        (("Content-Length: 100", "Content-Encoding: gzip"), b"415"),
        (("Content-Length: 100", "X-Large: " + "x" * 40_000), b"431"),
    ],
)
def test_what_the_headers_decide_is_answered_before_any_body_comes(
    usual: Running, headers: tuple[str, ...], status: bytes
) -> None:
    with connect(usual) as connection:
        send(connection, *headers)
        assert connection.recv(4096).split()[1] == status


def test_a_busy_service_refuses_before_any_body_comes(serve: Serve) -> None:
    with busy(serve) as running, connect(running) as connection:
        send(connection, "Content-Length: 100", "X-Deadline-Ms: 50")
        told = connection.recv(4096)
    assert told.split()[1] == b"503"
    assert b"retry-after" in told.lower()
    assert b"urn:fitscore:overloaded" in told


def test_garbage_instead_of_http_is_no_fault_of_ours(usual: Running) -> None:
    with connect(usual) as connection:
        connection.sendall(b"\x00\xff garbage\r\n\r\n")
        assert connection.recv(4096).split()[1] == b"400"
    assert usual.client.get("/livez").status_code == 200
