"""Every error that a request can end with, as one tree of exceptions. `http/problems.py` renders them.

Details name fields, never values. Knows no HTTP but the status codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FieldError:
    """A place, and what is wrong there: a JSON pointer into the body (RFC 6901), or the name of a header."""

    place: str
    detail: str
    kind: Literal["pointer", "header"] = "pointer"

    @property
    def sentence(self) -> str:
        return f"{self.place or 'the body'} {self.detail}"


class ServiceError(Exception):
    """A request's error. `status`, `code` and `title` are the stable part of the response."""

    status = 500
    code = "internal"
    title = "Internal error"

    def __init__(
        self, detail: str = "", *, errors: Sequence[FieldError] = (), retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail or self.title)
        # Many clients show the detail alone, so it is the first fault.
        self.detail = detail or (errors[0].sentence if errors else self.title)
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s


class BadRequest(ServiceError):
    """Malformed HTTP, or not exactly one Host header."""

    status, code, title = 400, "bad-request", "Bad request"


class NotJson(ServiceError):
    """The body is not valid JSON, is nested too deeply, or repeats a name within an object."""

    status, code, title = 400, "not-json", "Invalid JSON"


class Unauthorized(ServiceError):
    """The API key is missing or unknown."""

    status, code, title = 401, "unauthorized", "A valid API key is required"


class Forbidden(ServiceError):
    """The API key lacks the scope of the route."""

    status, code, title = 403, "forbidden", "The API key lacks the required scope"


class NotFound(ServiceError):
    """The route, candidate or model does not exist."""

    status, code, title = 404, "not-found", "Not found"


class MethodNotAllowed(ServiceError):
    """The route does not support the method. `allowed` are those that it supports."""

    status, code, title = 405, "method-not-allowed", "Method not allowed"

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        super().__init__()
        self.allowed = tuple(allowed)


class TooSlow(ServiceError):
    """The request did not arrive completely in time."""

    status, code, title = 408, "too-slow", "Request timeout"


class Conflict(ServiceError):
    """The model cannot be activated, rolled out or rolled back now."""

    status, code, title = 409, "conflict", "Conflict with the current state"


class TooLarge(ServiceError):
    """The body exceeds the limit."""

    status, code, title = 413, "too-large", "Request body too large"


class TooMany(ServiceError):
    """The documents cannot all be scored before the deadline, and nothing can be done ahead."""

    status, code, title = 413, "too-many", "Too many documents for the deadline"


class UnsupportedMedia(ServiceError):
    """The content type is not application/json, or the body is compressed by something else than gzip."""

    status, code, title = 415, "unsupported-media", "Unsupported media type"


class Misdirected(ServiceError):
    """The Host header names a host that is not allowed."""

    status, code, title = 421, "misdirected", "Unknown host"


class Invalid(ServiceError):
    """The body or a header does not match the schema, or the model cannot read it."""

    status, code, title = 422, "invalid", "Request validation failed"


class QuotaSpent(ServiceError):
    """The caller has used up its quota."""

    status, code, title = 429, "quota-spent", "Quota exceeded"


class HeadersTooLarge(ServiceError):
    """The headers exceed the limits."""

    status, code, title = 431, "headers-too-large", "Request headers too large"


class Internal(ServiceError):
    """An unexpected error in the service."""


class NotReady(ServiceError):
    """No model is live yet, or the engine has stopped."""

    status, code, title = 503, "not-ready", "Service not ready"


class Overloaded(ServiceError):
    """The request cannot finish before its deadline. `allowed_s` is the backlog that it accepts; 0 if unknown."""

    status, code, title = 503, "overloaded", "Not enough capacity to meet the deadline"

    def __init__(self, detail: str = "", *, retry_after_s: float | None = None, allowed_s: float = 0.0) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.allowed_s = allowed_s


class Incomplete(ServiceError):
    """Not all documents were scored in time. The others are worked on, so a later try succeeds."""

    status, code, title = 503, "incomplete", "Not all documents are scored yet"


class Crowded(ServiceError):
    """All connections are open and busy."""

    status, code, title = 503, "crowded", "Too many open connections"


class StoreUnavailable(ServiceError):
    """The candidate store is unreachable, or too many writes are in progress."""

    status, code, title = 503, "store-unavailable", "Candidate store unavailable"


class NotRecorded(ServiceError):
    """The audit log cannot accept a record, so nothing is scored."""

    status, code, title = 503, "not-recorded", "Audit log unavailable"


class DeadlinePassed(ServiceError):
    """The deadline passed before any candidate was scored."""

    status, code, title = 504, "deadline-passed", "Deadline exceeded"


class StoreFull(ServiceError):
    """The candidate store, or its disk, is full. What is stored can still be read."""

    status, code, title = 507, "store-full", "Candidate store full"
