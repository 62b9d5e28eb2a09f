"""Checks on request headers: size, Host, Content-Type, Content-Length and deadline. Knows no keys, bodies or routes."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError
from starlette.types import Scope

from service.errors import BadRequest, FieldError, HeadersTooLarge, Invalid, Misdirected, TooLarge, UnsupportedMedia
from service.http.answers.places import faults_of
from service.http.problems import DEADLINE_HEADER
from service.http.schemas import DeadlineMs
from service.http.wire.compression import is_gzip
from service.settings import LimitSettings

Headers = Mapping[bytes, bytes]
_DEADLINE = TypeAdapter(DeadlineMs)


class AllowedHosts:
    """The Host names that the service answers; all of them if none is listed."""

    def __init__(self, names: str) -> None:
        """`names` are separated by commas; "*.example.org" is any name below example.org. Ports are ignored."""
        listed = [name.strip().lower() for name in names.split(",") if name.strip()]
        self._names = frozenset(name for name in listed if not name.startswith("*."))
        self._suffixes = tuple(name[1:] for name in listed if name.startswith("*."))

    def check(self, scope: Scope) -> None:
        """Raise BadRequest unless there is exactly one Host header, Misdirected if its host is not allowed.

        HTTP/1.0 does not require the header. If hosts are listed, a request without it is misdirected.
        """
        named = [value for name, value in scope["headers"] if name == b"host"]
        if len(named) > 1 or (not named and scope["http_version"] != "1.0"):
            raise BadRequest("exactly one Host header is required")
        if not self._names and not self._suffixes:
            return
        host = _without_port(named[0].decode("latin-1").strip().lower()) if named else ""
        if host not in self._names and not (self._suffixes and host.endswith(self._suffixes)):
            raise Misdirected


def _without_port(host: str) -> str:
    if host.startswith("["):  # an IPv6 address
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def check_size(scope: Scope, limits: LimitSettings) -> None:
    """Raise HeadersTooLarge for a head over the limits. The path counts, because it can be as long as a header."""
    raw = scope["headers"]
    size = len(scope.get("raw_path", b"")) + len(scope["query_string"])
    if (
        len(raw) > limits.max_headers
        or size + sum(len(name) + len(value) for name, value in raw) > limits.max_header_bytes
    ):
        raise HeadersTooLarge(f"at most {limits.max_headers} headers of {limits.max_header_bytes} bytes in all")


def check_length(headers: Headers, limits: LimitSettings) -> None:
    """Raise TooLarge if Content-Length exceeds the limit."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and float(length) > limits.max_body_bytes:  # an int of thousands of digits would raise
        raise TooLarge(f"at most {limits.max_body_bytes} bytes")


def check_content(headers: Headers) -> None:
    """Raise UnsupportedMedia unless the headers say JSON, plain or by gzip."""
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"application/json":
        raise UnsupportedMedia("the content type must be application/json")
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding.strip().lower() != b"identity" and not is_gzip(encoding):
        raise UnsupportedMedia("the content encoding must be gzip or identity")


def stated_deadline_ms(headers: Headers) -> int | None:
    """The deadline header, or None without one. Raises Invalid."""
    stated = headers.get(DEADLINE_HEADER.lower().encode())
    if stated is None:
        return None
    try:
        return _DEADLINE.validate_python(stated.decode("latin-1"))
    except ValidationError as error:
        [fault] = faults_of(error.errors(), stated, frozenset())
    raise Invalid(errors=[FieldError(DEADLINE_HEADER, fault.detail, "header")])
