"""Every connection ends in time, even if its client sends or reads nothing; other clients are not affected."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from service.errors import Misdirected
from service.http.header_limits import AllowedHosts
from tests.support.fakes import GatedScorer, loading
from tests.support.metrics import read
from tests.support.raw_http import BODY, connect
from tests.support.service import Listening, Running, Serve, ServeOnPort
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.process

HEAD = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
HASTE = {"head_s": 0.5, "body_s": 0.5}
CHUNKED = HEAD.replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked")


@pytest.fixture
def hasty(serve_on_port: ServeOnPort) -> Listening:
    """A service with short timeouts."""
    return serve_on_port(**HASTE)


def rest(connection: socket.socket) -> bytes:
    """All bytes until the service closes the connection."""
    parts = []
    while part := _receive(connection):
        parts.append(part)
    return b"".join(parts)


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 16)
    except ConnectionResetError:
        return b""


def cuts(running: Listening) -> dict[str, float]:
    """How many connections the service closed, by reason."""
    name = "fitscore_connections_cut_total"
    found = {each: count for each, count in read(running).items() if each.startswith(name) and count}
    return {each.split('"')[1]: count for each, count in found.items()}


def status(answer: bytes) -> bytes:
    return answer.split()[1]


def test_a_client_that_sends_nothing_is_disconnected(hasty: Listening) -> None:
    with connect(hasty) as silent:
        assert rest(silent) == b""
    assert cuts(hasty) == {"idle": 1}


def test_a_head_that_is_incomplete_in_time_is_answered_408(hasty: Listening) -> None:
    with connect(hasty) as slow:
        slow.sendall(HEAD[:40])
        answer = rest(slow)
    assert status(answer) == b"408"
    assert b"urn:fitscore:too-slow" in answer
    assert b"connection: close" in answer
    assert cuts(hasty) == {"slow_head": 1}


def drip(connection: socket.socket, pieces: Iterator[bytes]) -> bytes:
    """Send pieces, with pauses, until the service answers or closes."""
    connection.settimeout(0.02)
    parts = []
    while True:
        try:
            connection.sendall(next(pieces))
            part = connection.recv(1 << 16)
        except TimeoutError:
            continue
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize(
    ("start", "piece", "reason"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"X-A: b\r\n", "slow_head"),
        (b"", b"\r\n", "slow_head"),
        (HEAD, b" ", "slow_body"),
        (CHUNKED, b"1\r\n \r\n", "slow_body"),
        (HEAD.replace(b"application/json", b"text/plain"), b" ", "slow_body"),
    ],
    ids=["headers", "empty lines", "body", "chunks", "a body that was refused"],
)
def test_sending_byte_by_byte_does_not_extend_the_timeout(
    hasty: Listening, start: bytes, piece: bytes, reason: str
) -> None:
    def pieces() -> Iterator[bytes]:
        yield start
        while True:
            yield piece

    with connect(hasty) as slow:
        began = time.monotonic()
        drip(slow, pieces())
        assert time.monotonic() - began < PATIENCE_S / 2
    assert cuts(hasty) == {reason: 1}


def test_a_body_that_stops_is_answered_408_and_frees_its_handler(hasty: Listening) -> None:
    with connect(hasty) as slow:
        slow.sendall(HEAD + BODY[:10])
        assert status(rest(slow)) == b"408"
    eventually(lambda: read(hasty)['fitscore_requests_total{outcome="cancelled",route="/score"}'] == 1)


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(serve_on_port: ServeOnPort) -> None:
    scorer = GatedScorer()
    running = serve_on_port(load=loading(scorer), keep_alive_s=1)
    with connect(running) as busy, connect(running) as idle:
        busy.sendall(HEAD + BODY)
        assert scorer.began.wait(PATIENCE_S)
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status(rest(idle)) == b"200"  # and then, a second later, the end
        scorer.gate.set()
        assert status(busy.recv(1 << 16)) == b"200"


def test_a_request_that_has_arrived_is_read_before_its_connection_closes_as_idle(hasty: Listening) -> None:
    with connect(hasty) as client:
        eventually(lambda: len(hasty.connections) == 2)  # that of the fixture's client as well
        [connection] = [each for each in list(hasty.connections) if each.client[1] == client.getsockname()[1]]
        gate = threading.Event()
        connection.loop.call_soon_threadsafe(gate.wait, PATIENCE_S)
        eventually(lambda: time.monotonic() > connection._closes_at())
        client.sendall(HEAD + BODY)
        gate.set()
        assert status(client.recv(1 << 16)) == b"200"


def test_a_client_that_does_not_read_its_response_is_disconnected(serve_on_port: ServeOnPort) -> None:
    running = serve_on_port(answer_s=0.2, max_body_bytes=32 << 20)
    echoed = {"fields": {"title": "chef"}, "passed over": "x" * (20 << 20)}
    body = json.dumps({"query": "chef", "documents": [echoed], "return_documents": True}).encode()
    with socket.socket() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        greedy.connect(("127.0.0.1", running.port))
        greedy.sendall(HEAD.replace(b"/score", b"/rerank").replace(b"%d" % len(BODY), b"%d" % len(body)) + body)
        eventually(lambda: "slow_reader" in cuts(running))


def test_a_head_that_is_too_large_is_rejected_while_it_arrives(usual_on_port: Listening) -> None:
    with connect(usual_on_port) as large:
        large.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Large: ")
        answer = drip(large, iter([b"x" * 100_000] * 100))
    assert status(answer) == b"431"


def test_the_path_counts_as_part_of_the_head(usual_on_port: Listening) -> None:
    with connect(usual_on_port) as large:
        large.sendall(b"GET /livez?" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status(large.recv(4096)) == b"431"


def test_a_million_chunks_of_a_small_body_are_rejected(serve_on_port: ServeOnPort) -> None:
    running = serve_on_port(max_body_bytes=100_000)
    with connect(running) as many:
        many.sendall(CHUNKED)
        answer = drip(many, iter([b"1\r\n \r\n" * 10_000] * 100))
    assert status(answer) == b"413"
    assert cuts(running) == {"large_body": 1}


def test_trailers_are_not_headers(serve_on_port: ServeOnPort) -> None:
    running = serve_on_port(api_keys="web:s3cret:score")
    with connect(running) as sly:
        chunk = b"%x\r\n%s\r\n0\r\nAuthorization: Bearer s3cret\r\n\r\n" % (len(BODY), BODY)
        sly.sendall(CHUNKED + chunk)
        assert status(sly.recv(4096)) == b"401"


def test_pipelined_requests_are_answered_in_order_up_to_a_limit(usual_on_port: Listening) -> None:
    ask = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(usual_on_port) as eager:
        eager.sendall(ask * 10 + ask.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert rest(eager).count(b"HTTP/1.1 200") == 11
    with connect(usual_on_port) as flood:
        flood.sendall(ask * 1000)
        assert rest(flood).count(b"HTTP/1.1") < 1000


def test_a_request_to_upgrade_the_protocol_is_ignored(usual_on_port: Listening) -> None:
    wish = b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA"
    with connect(usual_on_port) as polite:
        for _ in range(2):
            polite.sendall(HEAD.replace(b"Host: x", wish) + BODY)
            assert status(polite.recv(1 << 16)) == b"200"


@pytest.mark.parametrize(
    "raw",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n") + b"0\r\n\r\n",
        HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n") + BODY,
        HEAD.replace(b"Content-Length: ", b"Content-Length: -"),
        CHUNKED + b"zz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids="http2 connect space path two-framings two-lengths negative bad-chunk tls".split(),
)
def test_400_for_malformed_http(usual_on_port: Listening, raw: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with connect(usual_on_port) as odd:
        odd.sendall(raw)
        answer = rest(odd)
    assert status(answer) == b"400"
    assert b"application/problem+json" in answer
    assert not caplog.records


@pytest.mark.parametrize("lines", ["", "Host: a\r\nHost: a\r\n"], ids=["none", "two"])
def test_400_unless_there_is_exactly_one_host_header(usual_on_port: Listening, lines: str) -> None:
    with connect(usual_on_port) as odd:
        odd.sendall(f"GET /metrics HTTP/1.1\r\n{lines}\r\n".encode())
        assert status(odd.recv(4096)) == b"400"


def test_421_for_an_unknown_host_but_probes_are_answered_by_address(serve: Serve) -> None:
    client = serve(hosts="scores.example.org,*.internal,[::1]").client
    for host in ("scores.example.org", "Scores.Example.org:8000", "a.b.internal", "[::1]:80"):
        assert client.get("/metrics", headers={"Host": host}).status_code == 200
    for host in ("example.org", "evil-scores.example.org", "internal", "scores.example.org.evil", "[::2]", ""):
        assert client.get("/metrics", headers={"Host": host}).status_code == 421
    assert client.get("/livez", headers={"Host": "10.0.0.7:8000"}).status_code == 200


def test_a_request_without_a_host_is_misdirected_if_hosts_are_listed() -> None:
    hosts = AllowedHosts("a")
    with pytest.raises(Misdirected):
        hosts.check({"headers": [], "http_version": "1.0"})


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PATCH", "PROPFIND"])
def test_405_for_methods_without_a_route(usual: Running, method: str) -> None:
    assert usual.client.request(method, "/score").status_code == 405


def test_above_the_limit_idle_connections_are_closed_and_new_clients_are_served(serve_on_port: ServeOnPort) -> None:
    running = serve_on_port(max_connections=20)
    idle = [connect(running) for _ in range(60)]
    assert running.score().status_code == 200
    eventually(lambda: cuts(running).get("crowded", 0) >= 40)  # the last ones may still be accepted
    for each in idle:
        each.close()


def test_503_when_all_open_connections_are_busy(serve_on_port: ServeOnPort) -> None:
    scorer = GatedScorer()
    running = serve_on_port(load=loading(scorer), max_connections=3)
    running.client.close()
    eventually(lambda: not running.connections)
    at_work = [connect(running) for _ in range(3)]
    for each in at_work:
        each.sendall(HEAD + BODY)
    assert scorer.began.wait(PATIENCE_S)
    eventually(lambda: [each.idle for each in list(running.connections)] == [False] * 3)
    with connect(running) as late:
        answer = rest(late)
    assert status(answer) == b"503"
    assert b"urn:fitscore:crowded" in answer
    scorer.gate.set()
    for each in at_work:
        assert status(each.recv(1 << 16)) == b"200"
        each.close()


def test_responses_while_draining_close_the_connection(serve: Serve) -> None:
    running = serve()
    assert "connection" not in running.score().headers
    running.app.context.lifecycle.drain()
    assert running.score().headers["connection"] == "close"
