"""HTTP by hand over a socket, for what a client library would not send."""

import json
import socket

from tests.support.service import CANDIDATES, MEMBER, Listening
from tests.support.waiting import PATIENCE_S

BODY = json.dumps({"member": MEMBER, "candidates": CANDIDATES}).encode()
"""The usual body of POST /score."""


def connect(running: Listening) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE_S)


def send(connection: socket.socket, *headers: str, body: bytes = b"", kind: str = "application/json") -> None:
    """Send the head of a POST /score, and `body`."""
    lines = ["POST /score HTTP/1.1", "Host: x", f"Content-Type: {kind}", *headers]
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
