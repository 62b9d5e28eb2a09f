"""What can go wrong with a request, and how each is told: one small tree, mapped to HTTP here alone.

    ServiceError
      BadRequest 400 | NotJson 400 | Unauthorized 401 | Forbidden 403 | NotFound 404 | MethodNotAllowed 405
      TooSlow 408 | Conflict 409 | TooLarge 413 | UnsupportedMedia 415 | Misdirected 421 | Invalid 422
      QuotaSpent 429 | HeadersTooLarge 431
      Internal 500 | NotReady 503 | Overloaded 503 | Crowded 503 | StoreUnavailable 503 | NotRecorded 503
      DeadlinePassed 504 | StoreFull 507

Bodies are application/problem+json (RFC 9457). They name fields, never values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from starlette.responses import Response


@dataclass(frozen=True)
class FieldError:
    """Where in the body, as a JSON pointer (RFC 6901), and what is wrong there."""

    pointer: str
    detail: str


class ServiceError(Exception):
    """A refusal or failure that the caller is told of. Class attributes are the stable part of the answer."""

    status = 500
    code = "internal"
    title = "Something failed on our side"

    def __init__(
        self, detail: str = "", *, errors: Sequence[FieldError] = (), retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s


class BadRequest(ServiceError):
    """Not HTTP as this service speaks it."""

    status, code, title = 400, "bad-request", "The request cannot be read"


class NotJson(ServiceError):
    """The body cannot be read as JSON."""

    status, code, title = 400, "not-json", "The body is not valid JSON"


class Unauthorized(ServiceError):
    """No key, or one that is not known."""

    status, code, title = 401, "unauthorized", "A valid key is needed"


class Forbidden(ServiceError):
    """A known key without the scope."""

    status, code, title = 403, "forbidden", "This key may not do that"


class NotFound(ServiceError):
    """No such route, candidate or model."""

    status, code, title = 404, "not-found", "There is no such thing here"


class MethodNotAllowed(ServiceError):
    """The route does not take this method."""

    status, code, title = 405, "method-not-allowed", "This route does not take that method"


class TooSlow(ServiceError):
    """The rest of the request did not come in time."""

    status, code, title = 408, "too-slow", "The request came too slowly"


class Conflict(ServiceError):
    """A model that may not be activated."""

    status, code, title = 409, "conflict", "That cannot be done to what is there"


class TooLarge(ServiceError):
    """The body is over the limit."""

    status, code, title = 413, "too-large", "The body is too large"


class UnsupportedMedia(ServiceError):
    """Not JSON by its headers, or compressed."""

    status, code, title = 415, "unsupported-media", "The body must be uncompressed application/json"


class Misdirected(ServiceError):
    """Meant for a host that this service is not."""

    status, code, title = 421, "misdirected", "This host is not served here"


class Invalid(ServiceError):
    """JSON that does not fit the schema or the model."""

    status, code, title = 422, "invalid", "The body does not fit the schema"


class QuotaSpent(ServiceError):
    """The caller is over its own quota."""

    status, code, title = 429, "quota-spent", "Your quota is used up for now"


class HeadersTooLarge(ServiceError):
    """Headers over the limits."""

    status, code, title = 431, "headers-too-large", "The headers are too large"


class Internal(ServiceError):
    """A fault of ours."""


class NotReady(ServiceError):
    """No model is live yet, or none any more."""

    status, code, title = 503, "not-ready", "The service is not ready"


class Overloaded(ServiceError):
    """Accepted work leaves no time for this request, which might have filled `allowed_s`; 0 where that is not known."""

    status, code, title = 503, "overloaded", "There is no capacity to finish in time"

    def __init__(self, *, retry_after_s: float | None = None, allowed_s: float = 0.0) -> None:
        super().__init__(retry_after_s=retry_after_s)
        self.allowed_s = allowed_s


class Crowded(ServiceError):
    """Every connection that may be open at once is at work."""

    status, code, title = 503, "crowded", "Too many connections are open"


class StoreUnavailable(ServiceError):
    """The candidate store cannot be reached, or has too much to write."""

    status, code, title = 503, "store-unavailable", "The candidate store cannot be used at the moment"


class NotRecorded(ServiceError):
    """What would be scored could not be written down."""

    status, code, title = 503, "not-recorded", "The audit log takes nothing now"


class DeadlinePassed(ServiceError):
    """The deadline passed before any candidate was scored."""

    status, code, title = 504, "deadline-passed", "The deadline passed while the work was under way"


class StoreFull(ServiceError):
    """The candidate store is full."""

    status, code, title = 507, "store-full", "The candidate store is full"


KINDS = (
    NotJson, BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, TooSlow, Conflict, TooLarge,
    UnsupportedMedia, Misdirected, Invalid, QuotaSpent, HeadersTooLarge, Internal, NotReady, Overloaded, Crowded,
    StoreUnavailable, NotRecorded, DeadlinePassed, StoreFull,
)  # fmt: skip


def problem(error: ServiceError, request_id: str) -> Response:
    """The answer that tells of an error; `Retry-After` is in whole seconds, at least 1."""
    body: dict[str, object] = {
        "type": f"urn:fitscore:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "request_id": request_id,
    }
    if error.errors:
        body["errors"] = [{"pointer": each.pointer, "detail": each.detail} for each in error.errors]
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(orjson.dumps(body), error.status, headers, media_type="application/problem+json")
