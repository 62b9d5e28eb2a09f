"""A shutdown loses no client that has connected, even one in the kernel's backlog or one that has sent nothing yet."""

import errno
import gc
import json
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from service.app import create_app
from service.http import connection_limits as connections
from service.http import server as ending
from service.http.server import Server, uvicorn_config
from service.http.wire.listening import accept_waiting, listen
from service.lifecycle import Lifecycle
from service.settings import Settings
from tests.support.service import CANDIDATES, MEMBER, OPEN
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.process

BODY = json.dumps({"member": MEMBER, "candidates": CANDIDATES}).encode()
HEAD = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
MANY = 200


class Ending(Server):
    """A server whose last turn of the event loop is long: the loop does not see what arrives meanwhile."""

    last_turn: threading.Event
    over: threading.Event

    async def on_tick(self, counter: int) -> bool:
        if self.should_exit:
            self.last_turn.set()
            assert self.over.wait(PATIENCE_S)
        return await super().on_tick(counter)


class Stock(Ending):
    """uvicorn's own shutdown: the negative control."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await uvicorn.Server.shutdown(self, sockets)


@dataclass(frozen=True)
class Started:
    server: Ending
    lifecycle: Lifecycle
    port: int

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def begin_to_end(self) -> None:
        self.lifecycle.drain()
        self.server.should_exit = True
        assert self.server.last_turn.wait(PATIENCE_S)


Start = Callable[..., Started]


@pytest.fixture
def start(bundle: Path) -> Iterator[Start]:
    """Start a ready service, which ends with the test."""
    with contextmanager(_started)(bundle) as start:
        yield start


def _started(bundle: Path) -> Iterator[Start]:
    ends: list[Callable[[], None]] = []

    def start(kind: type[Ending] = Ending, **changes: object) -> Started:
        settings = Settings.model_validate({"bundle": bundle, "port": 0, "threads": 1, **OPEN, **changes})
        app = create_app(settings)
        server = kind(uvicorn_config(app.guard, settings, app.context.metrics), 0.0, app.context.lifecycle.drain)
        server.last_turn, server.over = threading.Event(), threading.Event()
        listener = listen(settings.server.host, settings.server.port)
        started = Started(server, app.context.lifecycle, listener.getsockname()[1])
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()

        def end() -> None:
            server.should_exit = True
            server.over.set()
            thread.join()

        ends.append(end)
        eventually(lambda: app.context.lifecycle.phase != "loading")
        return started

    yield start
    for end in ends:
        end()


def received(client: socket.socket) -> bytes:
    """All bytes until the service closes; none if it resets the connection."""
    parts = []
    try:
        while part := client.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def is_last(answer: bytes) -> bool:
    return answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer.lower()


def request_at_the_last_moment(started: Started) -> list[bytes]:
    """The responses to whole requests that reach the kernel after the event loop last looked."""
    started.begin_to_end()
    clients = [started.connect() for _ in range(MANY)]
    for client in clients:
        client.sendall(HEAD + BODY)
    started.server.over.set()
    answers = [received(client) for client in clients]
    for client in clients:
        client.close()
    return answers


def test_clients_in_the_kernels_backlog_are_answered(start: Start) -> None:
    answers = request_at_the_last_moment(start())
    assert [answer for answer in answers if not is_last(answer)] == []


def test_uvicorns_own_shutdown_resets_them(start: Start) -> None:
    answers = request_at_the_last_moment(start(Stock))
    assert not any(map(is_last, answers))


def connected_after_the_last_accept(started: Started, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a client can still connect then, and whether it ends up refused, which breaks no request."""
    with socket.socket() as late:
        late.setblocking(False)
        connected: list[bool] = []

        def accept_then_connect(listeners: list[socket.socket]) -> list[socket.socket]:
            clients = accept_waiting(listeners)
            late.connect_ex(("127.0.0.1", started.port))  # on loopback the handshake ends within this call
            connected.append(bool(select.select([], [late], [], 0)[1]))
            return clients

        monkeypatch.setattr(ending, "accept_waiting", accept_then_connect)
        started.begin_to_end()
        started.server.over.set()
        eventually(lambda: connected)
        assert select.select([], [late], [], PATIENCE_S)[1]
        refused = late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    return [*connected, refused]


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels have no filters of this kind")
def test_no_client_connects_after_the_last_one_was_accepted(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    assert connected_after_the_last_accept(start(), monkeypatch) == [False, True]


def test_without_the_filter_such_a_client_connects_and_is_reset(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "let_no_client_begin", lambda listener: None)
    assert connected_after_the_last_accept(start(), monkeypatch) == [True, False]


def test_a_client_that_has_just_connected_may_send_a_request(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LINGER_S", PATIENCE_S)  # a slow test is not a slow client
    started = start()
    started.begin_to_end()
    with started.connect() as client:
        started.server.over.set()
        eventually(lambda: started.server.server_state.connections != set())
        client.sendall(HEAD)
        client.sendall(BODY)
        assert is_last(received(client))


def test_a_client_that_sends_nothing_delays_the_end_only_briefly(start: Start) -> None:
    started = start(head_s=600, keep_alive_s=600)
    with started.connect() as client:
        started.begin_to_end()
        started.server.over.set()
        assert client.recv(1) == b""


def test_an_idle_connection_is_closed_unless_a_request_is_arriving(start: Start) -> None:
    started = start()
    with started.connect() as idle, started.connect() as asking:
        for client in (idle, asking):
            client.sendall(HEAD + BODY)
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
        started.begin_to_end()
        asking.sendall(HEAD + BODY)
        started.server.over.set()
        assert is_last(received(asking))
        assert received(idle) == b""


def test_a_socket_that_cannot_listen_is_closed() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        # An open socket would end this test with a ResourceWarning, and warnings are errors.
        with pytest.raises(OSError, match="in use"):
            listen("127.0.0.1", taken.getsockname()[1])
        gc.collect()
