"""What is refused before anything parses it: what there is no capacity for, as far as a head and a count of bytes tell.

Parsing costs a good part of what scoring does, so under a flood it would take the processor from the model. Most of it
is for nothing: who has no more time than one who was refused a moment ago, and brings no less, fares no better.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from service.admission.controller import Admission, NoCapacity
from service.errors import Overloaded
from service.request import Priority

# For so much of the time that it could fill, a refusal stands for all who ask for no less; then one may try again, and
# what has come free by then is given out at once.
PAUSE = 0.1
# Up to so many times as much time counts as no more: of what was refused, some was gone by the time that it was parsed.
SLACK = 1.1
_SHEDDABLE = re.compile(rb'"priority"\s*:\s*"sheddable"')


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request asks for: accepted work may fill `allowed_s` before it, and its body has `size` bytes."""

    allowed_s: float
    size: int

    def asks_no_less_than(self, other: Claim) -> bool:
        """Whether it can't come in where the other could not: it has no more time, and its cost goes with its bytes."""
        return self.allowed_s <= SLACK * other.allowed_s and self.size >= other.size


class EarlyRejection:
    """Rejects requests before their bodies are read or parsed. `wait_seconds()` is how long new work waits now."""

    def __init__(
        self,
        admission: Admission,
        wait_seconds: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._admission = admission
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._refused = Claim(0.0, 0)
        self._until = -math.inf

    def before_body(self, deadline_s: float) -> None:
        """Raise Overloaded if not even a critical request could be admitted.

        `deadline_s`: the latest deadline that the request can have, in seconds from now; infinite if the body may
        state any.
        """
        self._admit(self._admission.allowed_s(Priority.critical, deadline_s))

    def before_parsing(self, deadline_s: float, body: bytes) -> None:
        """Raise Overloaded if this request could not be admitted, or if one that asked for no more just was not."""
        claim = Claim(self._admission.allowed_s(priority_in(body), deadline_s), len(body))
        self._admit(claim.allowed_s)
        left_s = self._until - self._clock()
        if left_s > 0 and claim.asks_no_less_than(self._refused):
            raise Overloaded(retry_after_s=left_s)

    def refused(self, claim: Claim) -> None:
        """There was no capacity for this request, which was parsed."""
        now = self._clock()
        if now >= self._until:
            self._refused, self._until = claim, now + PAUSE * claim.allowed_s
        elif self._refused.asks_no_less_than(claim):
            self._refused = claim

    def _admit(self, allowed_s: float) -> None:
        try:
            self._admission.admit(allowed_s=allowed_s, backlog_s=self._wait_seconds(), cost_s=0.0)
        except NoCapacity as refusal:
            raise Overloaded(retry_after_s=refusal.retry_after_s) from None


def priority_in(body: bytes) -> Priority:
    """What an unparsed body states, as far as its bytes tell: in doubt the higher."""
    if b'"critical"' in body:
        return Priority.critical
    return Priority.sheddable if _SHEDDABLE.search(body) else Priority.default
