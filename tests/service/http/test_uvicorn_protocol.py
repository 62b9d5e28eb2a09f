"""The contract with uvicorn's private API: what service/http relies on is there, and a difference is found."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

# Methods that are overridden or called, with their parameters.
METHODS = {
    "__init__": "config server_state app_state _loop",
    "connection_made": "transport",
    "connection_lost": "exc",
    "data_received": "data",
    "on_message_begin": "",
    "on_url": "url",
    "on_header": "name value",
    "on_headers_complete": "",
    "on_body": "body",
    "on_message_complete": "",
    "on_response_complete": "",
    "pause_writing": "",
    "resume_writing": "",
    "shutdown": "",
    "_unset_keepalive_if_required": "",
}
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def completion_of(cycle: RequestResponseCycle) -> None:
    for _ in range(100):
        if cycle.response_complete:
            return
        await asyncio.sleep(0)
    raise AssertionError("no response after 100 turns of the event loop")


async def facts() -> dict[str, object]:
    """What a connection looks like while a request arrives, and after its response."""
    config = uvicorn.Config(answer, http=HttpToolsProtocol, ws="none", log_config=None)
    config.load()
    connection = HttpToolsProtocol(config, ServerState(), {})
    wire = Wire()
    connection.connection_made(wire)
    connection.data_received(REQUEST)
    cycle: Any = connection.cycle
    found: dict[str, object] = {
        "connections": connection in connection.connections,
        "url": connection.url,
        "headers": connection.headers[:1],
        "pipeline": len(connection.pipeline),
        "read_paused": connection.flow.read_paused,
        "begun": (cycle.response_started, cycle.response_complete, cycle.disconnected, cycle.keep_alive),
        "method": connection.parser.get_method(),
        "upgrade": connection.parser.should_upgrade(),
    }
    connection.data_received(b"{}")
    await completion_of(cycle)
    found["keep_alive_timer"] = connection.timeout_keep_alive_task is not None
    found["open"] = not wire.closed
    connection._unset_keepalive_if_required()
    found["timer_stopped"] = connection.timeout_keep_alive_task is None
    connection.data_received(REQUEST)
    connection.cycle.keep_alive = False
    connection.data_received(b"{}")
    await completion_of(connection.cycle)
    found["closed"] = wire.closed
    connection.data_received(REQUEST)
    connection.cycle.disconnected = True
    connection.cycle.message_event.set()
    found["disconnect"] = (await connection.cycle.receive())["type"]
    return found


FACTS = {
    "connections": True,
    "url": b"/",
    "headers": [(b"host", b"x")],
    "pipeline": 0,
    "read_paused": False,
    "begun": (False, False, False, True),
    "method": b"POST",
    "upgrade": False,
    "keep_alive_timer": True,
    "open": True,
    "timer_stopped": True,
    "closed": True,
    "disconnect": "http.disconnect",
}


def differences() -> list[str]:
    """Every way in which uvicorn differs from the contract."""
    found = []
    for name, parameters in METHODS.items():
        method = getattr(HttpToolsProtocol, name, None)
        have = " ".join(list(inspect.signature(method).parameters)[1:]) if method else "no such method"
        if have != parameters:
            found.append(f"{name}({have}), not {name}({parameters})")
    if getattr(httptools_impl, "STATUS_LINE", {}).get(404) != b"HTTP/1.1 404 Not Found\r\n":
        found.append("STATUS_LINE")
    try:
        seen = asyncio.run(facts())
    except Exception as error:
        return [*found, f"{type(error).__name__}: {error}"]
    return found + [f"{name}: {seen[name]}, not {fact}" for name, fact in FACTS.items() if seen[name] != fact]


def test_uvicorn_has_the_private_api_that_connections_use() -> None:
    assert differences() == []


def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(HttpToolsProtocol, "_unset_keepalive_if_required")


def one_parameter_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HttpToolsProtocol, "on_header", lambda self, name, value, index: None)


def another_flag_for_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        RequestResponseCycle, "response_complete", property(lambda self: None, lambda self, value: None), raising=False
    )


def no_timer_after_a_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HttpToolsProtocol, "on_response_complete", lambda self: None)


def another_form_of_status_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httptools_impl, "STATUS_LINE", {})


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize(
    "plant",
    [renamed, one_parameter_more, another_flag_for_complete, no_timer_after_a_response, another_form_of_status_lines],
)
def test_a_planted_difference_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    assert differences() != []
