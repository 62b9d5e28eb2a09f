"""The socket that takes clients: opened with a clear error, and closed so that no client that has connected is lost."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

# Linux, not in the socket module: a classic BPF program decides how much of each packet to a socket is kept.
_SO_ATTACH_FILTER = 26
# Load the flags of the TCP header; if SYN is among them keep nothing, else all.
_DROP_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


class CannotListen(OSError):
    """The address cannot be used; the sentence names it."""


def address(host: str, port: int) -> str:
    """A host and a port as a URL has them: an IPv6 address is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. `host` may be an IPv6 address in brackets. Raises CannotListen."""
    host = host.strip().removeprefix("[").removesuffix("]")
    try:
        return _listening(host, port)
    except (OSError, UnicodeError) as error:  # the second is for what cannot be a host name
        raise CannotListen(f"cannot listen on {address(host, port)}: {getattr(error, 'strerror', error)}") from None


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def let_no_client_begin(listener: socket.socket) -> None:
    """From now on the kernel drops each first packet (SYN) of a client. Handshakes under way may end.

    A client that connects after the last `accept` would be reset when the listener closes. One whose first packet is
    dropped sends it again a second later, and is refused. Does nothing where the kernel has no such filters.
    """
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in _DROP_SYN))
    with suppress(OSError):
        filter_program = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_program)


def accept_waiting(listeners: Sequence[socket.socket]) -> list[socket.socket]:
    """Accept every client in the kernel's backlog: a closing listener would reset them."""
    clients = []
    for listener in listeners:
        listener.setblocking(False)
        with suppress(OSError):  # the backlog is empty, or no descriptor is left
            while True:
                clients.append(listener.accept()[0])
    return clients
