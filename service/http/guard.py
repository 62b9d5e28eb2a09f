"""The request guard: all that is decided before a body is parsed. ASGI middleware around the app.

It checks the head and the API key, rejects early under overload, reads the body up to its limit, and gives the request
its context. It does not know what a body means.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import errors
from service.admission.early_rejection import EarlyRejection
from service.http import header_limits
from service.http.api_keys import ApiKeys, Caller
from service.http.context import NO_NOTE, NOTE, RequestContext, ResponseNote
from service.http.problems import problem
from service.http.wire.compression import CompressedSend, accepts_gzip, gunzip, is_gzip
from service.http.wire.paths import plain_path
from service.observability.requests import UNWATCHED, AnsweredRequest, parse_traceparent
from service.observability.timings import Timings
from service.settings import LimitSettings

PROBES = frozenset({"/livez", "/readyz", "/startupz", "/health"})
OPERATIONS = PROBES | {"/metrics"}
OPEN = OPERATIONS | {"/openapi.json"}
PATHS = dict.fromkeys(
    (
        "/v1/rerank /v2/rerank /voyage/v1/rerank /infinity/rerank /v1/reranking /v1/score /predict"
        " /vllm/rerank /vllm/v1/rerank /vllm/v2/rerank /vllm/score /vllm/v1/score"
    ).split(),
    "/rerank",
)
"""Further paths of the same route. So is `POST /`, whose GET is a page."""
# Paths without parameters; a slash too many does not change them.
PLAIN_PATHS = OPEN | PATHS.keys() | {"/score", "/rerank", "/candidates", "/candidates:progress", "/v1/models", "/info"}
SCOPES = {"/score": "score", "/rerank": "score", "/candidates": "candidates", "/v1/models": "admin"}
SCORING = frozenset({"/score", "/rerank"})
WITH_BODY = frozenset({("POST", "/score"), ("POST", "/rerank"), ("PUT", "/candidates")})
OUTCOMES = {429: "refused", 504: "deadline"}
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
ANONYMOUS = Caller("anonymous", frozenset())

log = logging.getLogger("fitscore")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class ClientDisconnected(Exception):
    """The client closed the connection before its response."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RequestGuard:
    """Wraps the app.

    While `draining` is set, connections close after their response. `answered(route, outcome, seconds)` is
    called after each request. `methods(path)` are those of a known path. `hidden` paths are answered 404; so are all
    but those of `only`, where it is given. `pages` are read without a key. `watch` takes what traces and logs need.
    Answers of `gzip_min_bytes` and more are compressed for callers that accept gzip; 0 compresses none.
    """

    app: ASGIApp
    limits: LimitSettings
    hosts: header_limits.AllowedHosts
    keys: ApiKeys
    early_rejection: EarlyRejection
    draining: asyncio.Event
    answered: Callable[[str, str, float], None]
    methods: Callable[[str], Sequence[str]] = lambda path: ()
    hidden: frozenset[str] = frozenset()
    pages: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    watch: Callable[[AnsweredRequest], object] | None = None
    gzip_min_bytes: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # the first of two counts, as in the app
        path: str = scope["path"]
        if path not in PLAIN_PATHS and (path := plain_path(path, PLAIN_PATHS)) != scope["path"]:
            scope = {**scope, "path": path}
        route = "/rerank" if path == "/" and scope["method"] == "POST" else route_of(path)
        accepted = headers.get(b"accept-encoding", b"identity")
        if self.gzip_min_bytes and accepted != b"identity" and scope["method"] != "HEAD" and accepts_gzip(accepted):
            send = CompressedSend(send, self.gzip_min_bytes).send
        exchange = _Exchange(request_id(headers), route, send, close=self.draining.is_set())
        if scope["method"] == "HEAD":  # the answer to GET, without its body
            scope, exchange.head_only = {**scope, "method": "GET"}, True
        try:
            await self._handle(scope, headers, receive, exchange)
        except errors.ServiceError as error:
            await problem(error, exchange.id)(scope, receive, exchange.send)
        except ClientDisconnected:
            exchange.outcome = "cancelled"
        except Exception as error:
            # The message may contain texts, so the log gets only the type and the place.
            log.error("request %s failed: %s at %s", exchange.id, type(error).__name__, _place(error))
            if not exchange.started:
                await problem(errors.Internal(), exchange.id)(scope, receive, exchange.send)
        seconds = time.monotonic() - exchange.arrived
        self.answered(exchange.route, exchange.outcome, seconds)
        if self.watch is not None and exchange.route not in UNWATCHED:
            parent = headers.get(b"traceparent", b"").decode("latin-1")
            self.watch(exchange.answered("HEAD" if exchange.head_only else scope["method"], parent, seconds))

    async def _handle(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, exchange: _Exchange
    ) -> None:
        route = exchange.route
        caller = self._check_head(scope, route, headers)
        exchange.caller = caller.name
        deadline_ms, latest_s = None, math.inf
        if route in SCORING:
            deadline_ms = header_limits.stated_deadline_ms(headers)
            if deadline_ms is not None:
                latest_s = deadline_ms / 1000
            announced = headers.get(b"content-length", b"")
            self.early_rejection.before_body(latest_s, int(announced) if announced.isdigit() else 0)
        body = await self._read(receive)
        encoding = headers.get(b"content-encoding")
        if encoding is not None and is_gzip(encoding):
            body = await gunzip(body, self.limits.max_body_bytes)
        if not body and (scope["method"], route) in WITH_BODY:
            raise errors.NotJson("the body is empty")
        if route in SCORING:
            self.early_rejection.before_parsing(latest_s, body)
        exchange.timings.lap("read")
        context = RequestContext(exchange.id, caller, deadline_ms, body, exchange.arrived, exchange.timings)
        scope["state"] = {**scope.get("state", {}), "context": context}
        await self.app(scope, receive, exchange.send)
        if exchange.note.allowed_s:
            self.early_rejection.rejected(self.early_rejection.claim(exchange.note.allowed_s, body))

    def _check_head(self, scope: Scope, route: str, headers: Mapping[bytes, bytes]) -> Caller:
        caller = self.keys.everyone or self.keys.caller(authorization(headers))
        header_limits.check_size(scope, self.limits)
        path = scope["path"]
        if path in self.hidden or (self.only is not None and path not in self.only):
            raise errors.NotFound
        if route != "probe":  # a prober addresses the service by IP, and learns nothing
            self.hosts.check(scope)
        if path not in OPEN and not (scope["method"] in ("GET", "HEAD") and path in self.pages):
            if caller is None:
                raise errors.Unauthorized
            if SCOPES.get(route, "score") not in caller.scopes:
                raise errors.Forbidden
        if route not in SCORING or scope["method"] != "POST":
            allowed = self.methods(path)
            if allowed and scope["method"] not in allowed:
                raise errors.MethodNotAllowed(allowed)
        header_limits.check_length(headers, self.limits)
        if (scope["method"], route) in WITH_BODY:
            header_limits.check_content(headers)
        return caller or ANONYMOUS

    async def _read(self, receive: Receive) -> bytes:
        limit = self.limits.max_body_bytes
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > limit:
                raise errors.TooLarge(f"at most {limit} bytes")
            if not message.get("more_body", False):
                return b"".join(chunks)


@dataclass(slots=True)
class _Exchange:
    """A request, and its response as far as it has been sent. `close`: the connection ends with this response."""

    id: str
    route: str
    forward: Send
    close: bool
    arrived: float = field(default_factory=time.monotonic)
    timings: Timings = field(default_factory=Timings)
    head_only: bool = False
    started: bool = False
    outcome: str = "error"
    status: int = 0
    caller: str = ANONYMOUS.name
    note: ResponseNote = NO_NOTE

    async def send(self, message: Message) -> None:
        """Send on, with the request id added; keep the status and the note."""
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            self.note = message.pop(NOTE, self.note)
            self.outcome = outcome_of(message["status"], self.note)
            message["headers"] = [*message.get("headers", []), (b"x-request-id", self.id.encode())]
            if self.close:
                message["headers"].append((b"connection", b"close"))
        elif self.head_only:
            message = {**message, "body": b""}
        await self.forward(message)

    def answered(self, method: str, traceparent: str, seconds: float) -> AnsweredRequest:
        return AnsweredRequest(
            id=self.id,
            method=method if method in METHODS else "_OTHER",  # a caller may invent one
            route=self.route,
            status=self.status,
            outcome=self.outcome,
            caller=self.caller,
            model=self.note.model,
            num_pairs=self.note.num_pairs,
            seconds=seconds,
            stages=self.timings.stages,
            parent=parse_traceparent(traceparent),
        )


def authorization(headers: Mapping[bytes, bytes]) -> str:
    """The Authorization header; without one, the key of X-Api-Key as a bearer key."""
    given = headers.get(b"authorization")
    if given is None and b"x-api-key" in headers:
        given = b"Bearer " + headers[b"x-api-key"]
    return (given or b"").decode("latin-1")


def request_id(headers: Mapping[bytes, bytes]) -> str:
    """The caller's request id if it is a plain word, else a new one."""
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def route_of(path: str) -> str:
    """The metric label of a path: a known route, "probe" or "other"."""
    if path in PROBES:
        return "probe"
    path = PATHS.get(path, path)
    for route in ("/candidates", "/v1/models"):
        if path.startswith(route):
            return route
    return path if path in ("/score", "/rerank", "/metrics") else "other"


def outcome_of(status: int, note: ResponseNote = NO_NOTE) -> str:
    """The metric label of a response. Only a request that found no capacity counts as overload."""
    if note.partial:  # also an answer that has to be whole, and is refused because it is not
        return "partial"
    if status < 400:
        return "ok"
    if status == 503:
        return "overload" if note.overloaded else "unavailable"
    return OUTCOMES.get(status, "invalid" if status < 500 else "error")


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace else "unknown"
