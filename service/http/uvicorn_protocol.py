"""The only file that uses uvicorn's private API: its HTTP/1.1 protocol class, and the request cycle of a connection.

pyproject.toml pins uvicorn's minor version; tests/service/http/test_uvicorn_protocol.py fails if the API differs.
"""

from __future__ import annotations

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

__all__ = ["STATUS_LINE", "UvicornConnection"]


class UvicornConnection(HttpToolsProtocol):
    """uvicorn's protocol with names for what a subclass needs to know and to do."""

    @property
    def read_paused(self) -> bool:
        """Whether uvicorn has stopped reading, because the app is slower than the client."""
        return self.flow.read_paused

    @property
    def response_started(self) -> bool:
        """Whether the response of the current request has begun."""
        return self.cycle is not None and bool(self.cycle.response_started)

    @property
    def response_complete(self) -> bool:
        """Whether no request waits for its response."""
        return self.cycle is None or bool(self.cycle.response_complete)

    def end_after_response(self) -> None:
        """Close the connection after the response of the current request."""
        self.cycle.keep_alive = False

    def disconnect_app(self) -> None:
        """Tell the app that the client has disconnected, and drop what it still sends."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def stop_keep_alive_timer(self) -> None:
        """Stop uvicorn's own timer of idle connections, which every stray byte resets."""
        self._unset_keepalive_if_required()

    def without_upgrade(self, rest: bytes) -> bytes:
        """The current request without its header that asks for an upgrade, and the bytes after its head.

        Java's HTTP client always sends that header. The parser loses the body of such a request, so a new one is made.
        """
        lines = [b"%s: %s\r\n" % (name, value) for name, value in self.headers if name != b"upgrade"]
        start = b"%s %s HTTP/1.1\r\n" % (self.parser.get_method(), self.url)
        self.parser = httptools.HttpRequestParser(self)
        return b"".join([start, *lines, b"\r\n", rest])
