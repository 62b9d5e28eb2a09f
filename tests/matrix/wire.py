"""A proxy between a client and the service: it keeps the paths that were called, and it can lie.

The lies are the negative control of the tests: with each of them, every client's check must fail.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

LISTS = ("documents", "texts", "input", "sentences")
"""Names of the list of documents, in all shapes."""
FULL = {"type": "/problems/overloaded", "title": "Overloaded", "status": 503, "detail": "the queue is full"}
TIMEOUT_S = 60
Body = dict[str, Any]


def other_order(asked: Body) -> Body:
    """The service gets the documents backwards, so that each score belongs to another index."""
    return _changed(asked, lambda documents: documents[::-1])


def one_less(asked: Body) -> Body:
    """The service does not get the best document, which is the second in the tests."""
    return _changed(asked, lambda documents: [*documents[:1], *documents[2:]])


def _changed(asked: Body, change: Callable[[list[Any]], list[Any]]) -> Body:
    if "candidates" in asked:
        ids = [each["id"] for each in asked["candidates"]]
        kept = change(asked["candidates"])
        return {**asked, "candidates": [{**each, "id": key} for each, key in zip(kept, ids, strict=False)]}
    if isinstance(asked.get("inputs"), dict):
        return {**asked, "inputs": _changed(asked["inputs"], change)}
    return {name: change(value) if name in LISTS else value for name, value in asked.items()}


def more_tokens(answer: Any) -> Any:
    """The answer with a token more wherever tokens are stated."""
    if isinstance(answer, list):
        return [more_tokens(each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    stated = ("total_tokens", "tokens_read")
    return {name: value + 1 if name in stated else more_tokens(value) for name, value in answer.items()}


@dataclass
class Wire:
    """`url` is what clients call. `paths` are those of POST, queries left out. `refuse` requests are answered 503."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    refuse: int = 0
    before: Callable[[Body], Body] | None = None
    after: Callable[[Any], Any] | None = None


@contextmanager
def wire(service: str) -> Iterator[Wire]:
    """A proxy before the service at this address."""
    state = Wire()
    handler = type("Handler", (_Handler,), {"service": urlsplit(service).netloc, "state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Passes requests on. `service` is its host and port."""

    protocol_version = "HTTP/1.1"
    service: str
    state: Wire

    def do_GET(self) -> None:
        self._answer(*self._forward(b""))

    def do_POST(self) -> None:
        state = self.state
        state.paths.append(self.path.split("?")[0])
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if state.refuse:
            state.refuse -= 1
            self._answer(503, {"Content-Type": "application/problem+json"}, json.dumps(FULL).encode())
            return
        if state.before is not None:
            body = json.dumps(state.before(json.loads(body))).encode()
        status, headers, answer = self._forward(body)
        if state.after is not None:
            answer = json.dumps(state.after(json.loads(answer))).encode()
        self._answer(status, headers, answer)

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """The service's answer: status, headers, body."""
        skipped = ("host", "content-length", "accept-encoding", "connection", "transfer-encoding")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in skipped}
        connection = http.client.HTTPConnection(self.service, timeout=TIMEOUT_S)
        try:
            connection.request(self.command, self.path, body or None, headers)
            got = connection.getresponse()
            return got.status, dict(got.getheaders()), got.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
