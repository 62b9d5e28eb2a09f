"""What routes get to work with: the parts of the app, and what the guard knows of a request. No behaviour.

Also the way back: a response may carry a note for the guard.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.http.api_keys import Caller
from service.http.request_limits import RequestLimits
from service.lifecycle import Lifecycle
from service.observability.metrics import Metrics
from service.observability.timings import Timings
from service.products.product import Products
from service.rollout.reference_drift import ReferenceDrift
from service.scoring.metrics import HeadScores

NOTE = "fitscore.note"


@dataclass(frozen=True, slots=True)
class AppContext:
    """The parts of the app that routes use."""

    products: Products
    limits: RequestLimits
    lifecycle: Lifecycle
    metrics: Metrics
    head_scores: HeadScores
    drift: ReferenceDrift


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What the guard knows of a request. `arrived` is in monotonic seconds; `deadline_ms` is the header's.

    `body` has been read, and is plain: routes take it from here.
    """

    id: str
    caller: Caller
    deadline_ms: int | None = None
    body: bytes = b""
    arrived: float = field(default_factory=time.monotonic)
    timings: Timings = field(default_factory=Timings)


@dataclass(frozen=True, slots=True)
class ResponseNote:
    """What a response tells the guard: whether scores are missing, or there was no capacity and what it accepts.

    For scores also the model, as `name@version`, and the number of pairs.
    """

    partial: bool = False
    overloaded: bool = False
    allowed_s: float = 0.0
    model: str = ""
    num_pairs: int = 0


NO_NOTE = ResponseNote()


class NotedResponse(Response):
    """A response with a note, which travels in the ASGI message that starts the response."""

    note = NO_NOTE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send({**start, NOTE: self.note})
        await send({"type": "http.response.body", "body": self.body})
