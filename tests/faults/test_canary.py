"""Markers in every field, header and path, on every way to an error: no answer, log line or metric shows one."""

import json
import logging
import socket
from collections.abc import Callable, Iterator

import httpx
import pytest

from service.http.compat.schemas import RerankRequest
from service.http.schemas import PutCandidates, ScoreRequest
from tests.support.fakes import SumScorer, loading
from tests.support.service import CANDIDATES, MEMBER, Listening, Serve, ServeOnPort
from tests.support.waiting import PATIENCE_S

CANARY = "canary7c1f"
JSON = {"Content-Type": "application/json"}
BODIES: dict[str, dict[str, object]] = {
    "/score": {
        "member": {**MEMBER, "text": None},
        "candidates": CANDIDATES,
        "blend": {"relevance": 1},
        "deadline_ms": 5000,
        "priority": "default",
        "model": None,
        "strict": False,
        "heads": ["relevance"],
        "explain": False,
    },
    "/rerank": {
        "query": "data",
        "documents": ["chef", {"text": "nurse"}],
        "top_n": 1,
        "model": "x",
        "raw_scores": False,
        "rank_fields": ["text"],
        "deadline_ms": 600_000,
        "priority": "default",
    },
    "/candidates": {"candidates": [{"id": "a", "text": "chef"}], "model": None},
}
HEADERS = (
    "Authorization", "Content-Type", "Content-Encoding", "X-Request-Id", "X-Deadline-Ms", "Host", "Accept", "Cookie",
    "User-Agent", "Content-Length", "Transfer-Encoding", "Expect", CANARY,
)  # fmt: skip


def planted(value: object) -> Iterator[object]:
    """The value with a canary in each of its places in turn: in place of a leaf, around it, and as a name."""
    yield CANARY
    yield {CANARY: value}
    if isinstance(value, dict):
        for name, each in value.items():
            yield from ({**value, name: spoilt} for spoilt in planted(each))
        yield {**value, CANARY: CANARY}
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from ([*value[:place], spoilt, *value[place + 1 :]] for spoilt in planted(each))


def raw_bodies() -> Iterator[bytes]:
    """What is no JSON, with a canary in it."""
    sound = json.dumps({"member": {"text": CANARY}, "candidates": [{"id": "a", "text": CANARY}]}).encode()
    yield from (sound[:-1], sound + b"x", sound.replace(b"a", b"\xff", 1), b'"' + CANARY.encode(), b"[" * 300 + sound)
    yield from (b'{"%s":NaN}' % CANARY.encode(), b'{"%s":1,"%s":2}' % ((CANARY.encode(),) * 2))
    yield b'{"member":{"text":"%s"},"candidates":[{"id":"a","fields":{"%s":"\\ud800"}}]}' % ((CANARY.encode(),) * 2)


def ask(running: Listening) -> Iterator[httpx.Response]:
    """Every planted request, one after the other."""
    client = running.client
    for path, body in BODIES.items():
        method = "PUT" if path == "/candidates" else "POST"
        for spoilt in planted(body):
            yield client.request(method, path, json=spoilt)
        for raw in raw_bodies():
            yield client.request(method, path, content=raw, headers=JSON)
        for name in HEADERS:
            if name not in ("Content-Length", "Transfer-Encoding"):
                yield client.request(method, path, json=body, headers={name: CANARY})
        yield client.request(method, f"{path}?{CANARY}={CANARY}", json=body)
    for path in (f"/{CANARY}", f"/score/{CANARY}", f"/v1/models/{CANARY}:activate", f"/candidates/{CANARY}"):
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", CANARY.upper()):
            yield client.request(method, path, json=CANARY)


def raw_requests() -> Iterator[bytes]:
    """What a client library would not send."""
    text = CANARY.encode()
    yield from (text, b"GET /%s HTTP/9.9\r\n\r\n" % text, b"GET / HTTP/1.1\r\n%s\r\n\r\n" % text)
    yield b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n" % text
    yield b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: %s\r\n\r\n" % text
    yield b"POST /score HTTP/1.1\r\nHost: %s\r\nHost: %s\r\n\r\n" % (text, text)
    yield b"GET /livez HTTP/1.1\r\nHost: x\r\nX-%s: %s\r\n\r\n" % (text, text * 10_000)


def spoken(running: Listening, raw: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE_S) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        try:
            return connection.recv(1 << 16)
        except ConnectionResetError:
            return b""


def failing(*_: object) -> None:
    raise RuntimeError(CANARY)


def hits(running: Listening, told: Callable[[], str]) -> tuple[set[int], list[str]]:
    """Statuses that were seen, and what repeated a canary."""
    statuses, found = set(), []
    for answer in ask(running):
        statuses.add(answer.status_code)
        echoed = answer.headers.get("x-request-id") == CANARY  # a plain word that the caller named the request with
        text = answer.text.replace(f'"request_id":"{CANARY}"', "") if echoed else answer.text
        if answer.status_code >= 400 and CANARY in text.lower():
            found.append(f"{answer.request.method} {answer.request.url.path}: {answer.text[:200]}")
    found += [raw.decode("latin-1")[:60] for raw in raw_requests() if CANARY.encode() in spoken(running, raw)]
    found += ["metrics"] * (CANARY in running.client.get("/metrics").text.lower())
    found += ["logs"] * (CANARY in told().lower())
    return statuses, found


def test_no_error_shows_a_marker(
    serve_on_port: ServeOnPort, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("httpx").setLevel(logging.WARNING)  # the caller's own log, which names its addresses
        logging.getLogger("httpcore").setLevel(logging.WARNING)
        running = serve_on_port(log_level="debug")
        statuses, found = hits(running, lambda: caplog.text + "".join(capfd.readouterr()))
    assert found == []
    assert {200, 400, 404, 405, 415, 422} <= statuses


def test_an_internal_failure_shows_no_marker_and_the_check_would_find_one(
    serve: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = serve(load=loading(SumScorer(failing)))  # type: ignore[arg-type]  # it raises instead of answering
    with caplog.at_level(logging.DEBUG, logger="fitscore"):
        scores = running.score().json()["scores"]
        assert {each["status"] for each in scores} == {"failed"}
        monkeypatch.setattr(running.app.parts.encoding.texts, "pairs", failing)
        assert running.score().status_code == 500
        assert CANARY not in caplog.text
        logging.getLogger("fitscore").debug("a log that names a text: %s", CANARY)  # the negative control
        assert CANARY in caplog.text


def test_every_field_of_the_contract_holds_a_marker() -> None:
    for path, contract in (("/score", ScoreRequest), ("/candidates", PutCandidates), ("/rerank", RerankRequest)):
        known = {name for body in planted(BODIES[path]) if isinstance(body, dict) for name in body}
        optional = {"texts", "return_documents", "return_text", "truncate", "max_tokens_per_doc", "ttl_s"}
        optional |= {"top_k", "truncation", "truncation_direction", "max_chunks_per_doc", "return_documents"}
        assert set(contract.model_fields) - optional <= known
