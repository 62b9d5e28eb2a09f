"""When a request is sent again: deadline, retry policy, retry budget. No I/O: a plan yields what a client is to do.

A plan is a generator. It yields a step, and receives what came of it: an answer, a failed connection, or None. So the
synchronous and the asynchronous client follow the same rules, and a test needs no clock of its own.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from fitscore_client.errors import ConnectionFailed, DeadlineExceeded, FitscoreError, QuotaSpent, Unavailable, error_of

MAX_DEADLINE_MS = 600_000
T = TypeVar("T")
Now = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of a time budget, in seconds of the clock `now`."""

    now: Now
    at: float

    def left_s(self) -> float:
        """Seconds left; negative once it has passed."""
        return self.at - self.now()

    def within(self, seconds: float) -> Deadline:
        """The same deadline, or one after `seconds` if that is sooner."""
        return Deadline(self.now, min(self.at, self.now() + seconds))


@dataclass(frozen=True, slots=True)
class Call:
    """A request. The service reads the deadline of scoring calls, and only they may be hedged."""

    method: str
    url: str
    content: bytes | None = field(default=None, repr=False)
    scoring: bool = False
    accepts: frozenset[int] = frozenset()

    def headers(self, left_s: float) -> dict[str, str]:
        """The headers when so many seconds are left."""
        deadline_ms = max(1, int(min(left_s * 1000, MAX_DEADLINE_MS)))
        stated = {"X-Deadline-Ms": str(deadline_ms)} if self.scoring else {}
        return {"Content-Type": "application/json", **stated} if self.content is not None else stated

    def succeeded(self, outcome: Outcome) -> bool:
        """Whether the outcome is an answer that the caller can read."""
        return isinstance(outcome, httpx.Response) and (outcome.is_success or outcome.status_code in self.accepts)


@dataclass(frozen=True, slots=True)
class Send:
    """Send the call; time out at the deadline."""

    call: Call
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Together:
    """Carry out these plans at the same time; the outcome is the list of their results."""

    plans: Sequence[Plan[Any]]


Outcome = httpx.Response | httpx.TransportError | list[Any] | None
Plan = Generator[Send | Wait | Together, Outcome, T]


class RetryBudget:
    """A token bucket: each call adds `ratio` tokens, each retry or hedge takes one. `burst` is the most it holds."""

    def __init__(self, ratio: float = 0.1, burst: float = 10.0) -> None:
        self._ratio, self._burst, self._tokens = ratio, burst, burst
        self._lock = threading.Lock()

    def add(self) -> None:
        """Count a call."""
        with self._lock:
            self._tokens = min(self._burst, self._tokens + self._ratio)

    def take(self) -> bool:
        """Take a token; False if there is none."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


@dataclass(frozen=True)
class RetryPolicy:
    """Retries only where waiting helps: 503 with Retry-After, 429, and connections that failed before sending."""

    max_attempts: int = 4
    base_s: float = 0.05
    cap_s: float = 2.0
    connect_timeout_s: float = 1.0
    budget: RetryBudget | None = None
    random: Callable[[], float] = random.random

    def wait_s(self, error: FitscoreError, attempt: int) -> float | None:
        """Seconds to wait after this attempt, with jitter; None if a retry would not help."""
        jitter_s: float = self.random() * min(self.cap_s, self.base_s * 2.0 ** min(attempt, 30))
        if isinstance(error, ConnectionFailed) and not error.sent:
            return jitter_s
        if isinstance(error, QuotaSpent) or (isinstance(error, Unavailable) and error.retry_after_s is not None):
            return (error.retry_after_s or 0.0) + jitter_s
        return None

    def may_repeat(self) -> bool:
        """Take a token for one more request; without a retry budget there is always one."""
        return self.budget is None or self.budget.take()


def attempts(call: Call, deadline: Deadline, policy: RetryPolicy) -> Plan[httpx.Response]:
    """Send a call until it succeeds, waiting does not help, or the wait would not end before the deadline."""
    if policy.budget is not None:
        policy.budget.add()
    attempt = 1
    while True:
        try:
            return (yield from once(call, deadline))
        except FitscoreError as error:
            wait_s = policy.wait_s(error, attempt)
            if wait_s is None or wait_s >= deadline.left_s() or attempt >= policy.max_attempts:
                raise
            if not policy.may_repeat():
                raise
        yield Wait(wait_s)
        attempt += 1


def once(call: Call, deadline: Deadline) -> Plan[httpx.Response]:
    """Send a call one time. Raises the error of its outcome."""
    if deadline.left_s() <= 0:
        raise DeadlineExceeded("the time budget is spent")
    outcome = yield Send(call, deadline)
    assert isinstance(outcome, httpx.Response | httpx.TransportError)
    if isinstance(outcome, httpx.Response) and call.succeeded(outcome):
        return outcome
    raise error_of(outcome)
