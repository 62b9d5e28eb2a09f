"""Every error that a call can end with, as one tree.

    FitscoreError
      ConnectionFailed      no complete answer arrived; `sent` says whether the service may have seen the request
      DeadlineExceeded      the time budget is spent
        DeadlinePassed 504  the same, found by the service (also a Problem)
      UnexpectedAnswer      an answer that Fitscore does not give, for example of a proxy
      UpsertInterrupted     some candidates are stored; `left` has the ids of the others
      Problem               application/problem+json (RFC 9457)
        InvalidRequest 4xx | NotAllowed 401, 403 | NotFound 404 | Conflict 409 | TooLarge 413 | QuotaSpent 429
        Unavailable 503 | StoreFull 507 | InternalError 5xx

Messages hold a status, a problem type and a request id: never a text, an id or a key of the caller.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

_PLAIN_TYPE = re.compile(r"urn:fitscore:[a-z-]{1,40}")
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class FitscoreError(Exception):
    """The root of all errors of this package."""


class ConnectionFailed(FitscoreError):
    """No complete answer arrived. If `sent` is false, the service has not seen the request."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(f"{reason}: the request {'may have been' if sent else 'was not'} sent")
        self.sent = sent


class DeadlineExceeded(FitscoreError):
    """The time budget is spent."""


class UnexpectedAnswer(FitscoreError):
    """The answer is not one that Fitscore gives."""


class UpsertInterrupted(FitscoreError):
    """Not all candidates are stored; the cause is in `__cause__`.

    `left` has the ids that are left, so a later call can resume. `rejected` are those of them that the service names
    as invalid.
    """

    def __init__(self, upserted: int, left: Sequence[str], rejected: Sequence[str]) -> None:
        super().__init__(f"{upserted} candidates are stored, {len(left)} are left, {len(rejected)} of them invalid")
        self.upserted = upserted
        self.left = tuple(left)
        self.rejected = tuple(rejected)


@dataclass(frozen=True, slots=True)
class FieldError:
    """A JSON pointer into the body, and what is wrong at that place."""

    pointer: str
    detail: str


class Problem(FitscoreError):
    """A problem that the service reports. `type` is stable; `title` and `detail` are for people."""

    def __init__(self, response: httpx.Response) -> None:
        body = _problem_of(response)
        self.status = response.status_code
        self.type = str(body.get("type", "about:blank"))
        self.title = str(body.get("title", response.reason_phrase))
        self.detail = str(body.get("detail", ""))
        found = body.get("errors")
        self.errors = tuple(
            FieldError(str(each.get("pointer", "")), str(each.get("detail", "")))
            for each in (found if isinstance(found, list) else [])
            if isinstance(each, dict)
        )
        self.request_id = str(body.get("request_id") or response.headers.get("X-Request-Id", ""))
        self.retry_after_s = retry_after_s(response.headers.get("Retry-After"))
        kind = f" {self.type}" if _PLAIN_TYPE.fullmatch(self.type) else ""
        request = f" (request {self.request_id})" if _PLAIN_ID.fullmatch(self.request_id) else ""
        super().__init__(f"{self.status}{kind}{request}")


class InvalidRequest(Problem):
    """4xx: the request is wrong; `errors` name the fields. Sending it again does not help."""


class NotAllowed(Problem):
    """401, 403: the API key is missing, unknown, or lacks the scope."""


class NotFound(Problem):
    """404: no such candidate, model or route."""


class Conflict(Problem):
    """409: the model cannot be activated, rolled out or rolled back now."""


class TooLarge(Problem):
    """413: the body exceeds the service's limit."""


class QuotaSpent(Problem):
    """429: the caller has used up its quota until `retry_after_s` has passed."""


class InternalError(Problem):
    """An error in the service or in a proxy."""


class Unavailable(Problem):
    """503: overloaded, not ready or without its store. `retry_after_s` is None if waiting is not known to help."""


class StoreFull(Problem):
    """507: the candidate store is full."""


class DeadlinePassed(Problem, DeadlineExceeded):
    """504: the deadline passed before any candidate was scored."""


_BY_STATUS: dict[int, type[Problem]] = {
    **{401: NotAllowed, 403: NotAllowed, 404: NotFound, 409: Conflict, 413: TooLarge, 429: QuotaSpent},
    **{503: Unavailable, 504: DeadlinePassed, 507: StoreFull},
}


def error_of(outcome: httpx.Response | httpx.TransportError) -> FitscoreError:
    """The error for an answer that is no success, or for a failed connection."""
    if isinstance(outcome, httpx.Response):
        status = outcome.status_code
        if status < 400:
            return UnexpectedAnswer(f"status {status}")
        return _BY_STATUS.get(status, InvalidRequest if status < 500 else InternalError)(outcome)
    if isinstance(outcome, httpx.ReadTimeout | httpx.WriteTimeout):
        return DeadlineExceeded("no answer within the time budget")
    unsent = isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return ConnectionFailed(type(outcome).__name__, sent=not unsent)


def retry_after_s(header: str | None) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date; None if it is absent or unreadable."""
    if header is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", header):
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _problem_of(response: httpx.Response) -> dict[str, Any]:
    if response.headers.get("Content-Type", "").split(";")[0].strip() != "application/problem+json":
        return {}
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
