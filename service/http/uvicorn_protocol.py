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

    @property
    def num_pipelined(self) -> int:
        """Requests that wait for the response of an earlier one."""
        return len(self.pipeline)

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

    def feed(self, data: bytes) -> None:
        """Parse, and ignore a request to upgrade the protocol, which Java's HTTP client always sends.

        The parser loses the body of such a request, so a new parser reads the request again without the upgrade.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            lines = [b"%s: %s\r\n" % (name, value) for name, value in self.headers if name != b"upgrade"]
            start = b"%s %s HTTP/1.1\r\n" % (self.parser.get_method(), self.url)
            self.parser = httptools.HttpRequestParser(self)
            self.feed(b"".join([start, *lines, b"\r\n", data[upgrade.args[0] :]]))
