"""The door: what is decided of a request before anything parses it. Pure ASGI, around the app.

Head and host, key, content type, body limit, and a refusal that costs next to nothing when there is no
capacity. Reads the body whole (up to its limit) and hands it on; knows nothing of what it means.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.admission.early_rejection import Claim, EarlyRejection
from service.errors import (
    Forbidden,
    Internal,
    MethodNotAllowed,
    NotFound,
    NotJson,
    ServiceError,
    TooLarge,
    Unauthorized,
)
from service.http.api_keys import ApiKeys, Caller
from service.http.context import Desk
from service.http.header_limits import (
    METHODS,
    AllowedHosts,
    HeaderLimits,
    check_content,
    check_length,
    check_size,
    request_id,
)
from service.http.problems import DEADLINE_HEADER, invalid, problem
from service.http.schemas import DeadlineMs
from service.observability.timings import Timings

PROBES = frozenset({"/livez", "/readyz", "/startupz"})
OPERATIONS = PROBES | {"/metrics"}
OPEN = OPERATIONS | {"/openapi.json"}
PATHS = {"/v1/rerank": "/rerank", "/v2/rerank": "/rerank"}
SCOPES = {"/score": "score", "/rerank": "score", "/candidates": "candidates", "/v1/models": "admin"}
SCORING = frozenset({"/score", "/rerank"})
WITH_BODY = frozenset({("POST", "/score"), ("POST", "/rerank"), ("PUT", "/candidates")})
OUTCOMES = {429: "refused", 503: "overload", 504: "deadline"}

log = logging.getLogger("fitscore")


NOBODY = Caller("nobody", frozenset())


class ClientDisconnected(Exception):
    """The client has gone; there is nobody to answer."""


class RequestGuard:
    """Wraps the app. The turnstile may refuse before the body is read, and before it is parsed.

    Paths that are `hidden` are not there for callers of this door; `operations()` is another one, for them alone.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: HeaderLimits,
        hosts: AllowedHosts,
        keys: ApiKeys,
        desk: Desk,
        turnstile: EarlyRejection,
        default_deadline_ms: int,
        hidden: frozenset[str] = frozenset(),
    ) -> None:
        self._app = app
        self._limits = limits
        self._hosts = hosts
        self._keys = keys
        self._turnstile = turnstile
        self._default_deadline_ms = default_deadline_ms
        self._hidden = hidden
        self._only: frozenset[str] | None = None
        self.desk = desk

    def operations(self) -> RequestGuard:
        """A second door to the same app, to probes and metrics and nothing else."""
        door = copy(self)
        door._hidden, door._only = frozenset(), OPERATIONS
        return door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # of two the first counts, as for the app
        visit = RequestContext(
            request_id(headers), route_of(scope["path"]), last=self.desk.lifecycle.phase == "draining"
        )
        answer = visit.noting(send)
        try:
            visit.caller = self._admit(scope, headers)
            if visit.route in SCORING:
                visit.deadline_ms = stated_deadline_ms(headers)
                latest_s = self._latest_s(visit)
                self._turnstile.before_body(latest_s)
            body = await self._read(receive)
            if (scope["method"], visit.route) in WITH_BODY and not body:
                raise NotJson("the body is empty")
            if visit.route in SCORING:
                self._turnstile.before_parsing(latest_s, body)
            visit.timings.lap("read")
            scope["state"] = {**scope.get("state", {}), "visit": visit}
            await self._app(scope, _replay(body, receive), answer)
            if visit.allowed_s:
                self._turnstile.refused(Claim(visit.allowed_s, len(body)))
        except ServiceError as error:
            await problem(error, visit.id)(scope, receive, answer)
        except ClientDisconnected:
            visit.outcome = "cancelled"
        except Exception as error:
            # Texts may stand in the message, so only the kind and the place are logged.
            log.error("request %s failed: %s at %s", visit.id, type(error).__name__, _where(error))
            if not visit.began:
                await problem(Internal(), visit.id)(scope, receive, answer)
        self.desk.metrics.answered(visit.route, visit.outcome, time.monotonic() - visit.arrived)

    def _admit(self, scope: Scope, headers: dict[bytes, bytes]) -> Caller:
        check_size(scope, self._limits)
        if scope["method"] not in METHODS:
            raise MethodNotAllowed
        path = scope["path"]
        if path in self._hidden or (self._only is not None and path not in self._only):
            raise NotFound
        route = route_of(path)
        if route != "probe":  # whoever probes names an address, and learns nothing
            self._hosts.check(scope)
        caller = self._keys.caller(headers.get(b"authorization", b"").decode("latin-1"))
        if path not in OPEN:
            if caller is None:
                raise Unauthorized
            if SCOPES.get(route, "score") not in caller.scopes:
                raise Forbidden
        check_length(headers, self._limits)
        if (scope["method"], route) in WITH_BODY:
            check_content(headers)
        return caller or NOBODY

    def _latest_s(self, visit: RequestContext) -> float:
        """The latest deadline, in seconds from arrival, that the request can have while its body is unread."""
        if visit.deadline_ms is not None:
            return visit.deadline_ms / 1000
        return math.inf if visit.route == "/score" else self._default_deadline_ms / 1000  # the body may have one

    async def _read(self, receive: Receive) -> bytes:
        limit = self._limits.body_bytes
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > limit:
                raise TooLarge(f"at most {limit} bytes")
            if not message.get("more_body", False):
                return b"".join(chunks)


@dataclass(slots=True)
class RequestContext:
    """One request from outside: who calls, since when, and how it ended. `arrived` is in monotonic seconds.

    `last`: the service is about to end, so the caller is told to open its next connection elsewhere. `allowed_s`: there
    was no capacity for it, though accepted work might have filled so much of its time.
    """

    id: str
    route: str
    caller: Caller = NOBODY
    arrived: float = field(default_factory=time.monotonic)
    timings: Timings = field(default_factory=Timings)
    began: bool = False
    partial: bool = False
    last: bool = False
    deadline_ms: int | None = None
    allowed_s: float = 0.0
    outcome: str = "error"

    def noting(self, send: Send) -> Send:
        """`send`, with the request id added and the status noted."""

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.began = True
                self.outcome = "partial" if self.partial else outcome_of(message["status"])
                message["headers"] = [*message.get("headers", []), (b"x-request-id", self.id.encode())]
                if self.last:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        return noted


_DEADLINE = TypeAdapter(DeadlineMs)


def stated_deadline_ms(headers: Mapping[bytes, bytes]) -> int | None:
    """The deadline header, or None without one. Raises Invalid."""
    stated = headers.get(DEADLINE_HEADER.lower().encode())
    if stated is None:
        return None
    try:
        return _DEADLINE.validate_python(stated.decode("latin-1"))
    except ValidationError as error:
        found: list[Mapping[str, Any]] = [{**each, "loc": ("header", DEADLINE_HEADER)} for each in error.errors()]
    raise invalid(found)


def route_of(path: str) -> str:
    """The metric's label of a path: a known route, "probe" or "other"."""
    if path in PROBES:
        return "probe"
    path = PATHS.get(path, path)
    for route in ("/candidates", "/v1/models"):
        if path.startswith(route):
            return route
    return path if path in ("/score", "/rerank", "/metrics") else "other"


def outcome_of(status: int) -> str:
    """The metric's label of a status."""
    if status < 400:
        return "ok"
    return OUTCOMES.get(status, "invalid" if status < 500 else "error")


def _replay(body: bytes, receive: Receive) -> Receive:
    unread = [body]

    async def replayed() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return replayed


def _where(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace else "nowhere"
