"""What travels inside the service: a request, its pairs, a batch, and what comes back.

Knows nothing about text, tensors, HTTP or threads: payloads and lanes are opaque. Times are monotonic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Priority(StrEnum):
    """Who is refused last when there is too much to do."""

    critical = "critical"
    default = "default"
    sheddable = "sheddable"


class PairStatus(StrEnum):
    """What became of one candidate, as it stands in the answer."""

    scored = "scored"
    failed = "failed"
    not_scored = "not_scored"
    unknown_candidate = "unknown_candidate"
    invalid = "invalid"


@dataclass(frozen=True, slots=True)
class PairOutcome:
    """What became of one pair: calibrated probabilities, one per head, or why there are none."""

    status: PairStatus
    probabilities: tuple[float, ...] | None = None


@dataclass(eq=False, slots=True)
class PairWork:
    """One pair on its way: what the lane scores, its length in tokens, and its place in the request."""

    payload: object
    length: int
    request: Request
    position: int


@dataclass(eq=False, slots=True)
class Request:
    """The unit of admission: it is done when its last pair is. Compared by identity.

    `lane` is whatever runs the pairs (a scorer); a batch never mixes lanes, so a model swap needs no drain.
    """

    lane: object
    pairs: list[PairWork]
    arrived: float
    deadline: float
    priority: Priority
    outcomes: list[PairOutcome | None]
    remaining: int
    departed: bool = False
    model_s: float = 0.0

    @classmethod
    def of(
        cls,
        lane: object,
        payloads: Sequence[object],
        lengths: Sequence[int],
        *,
        arrived: float,
        deadline: float,
        priority: Priority = Priority.default,
    ) -> Request:
        """A request of one pair per payload; `lengths[i]` is the number of tokens of `payloads[i]`."""
        num_pairs = len(payloads)
        request = cls(lane, [], arrived, deadline, priority, [None] * num_pairs, num_pairs)
        request.pairs = [
            PairWork(payload, length, request, position)
            for position, (payload, length) in enumerate(zip(payloads, lengths, strict=True))
        ]
        return request

    def settle(self, position: int, outcome: PairOutcome) -> None:
        """Note what became of one pair; the first word counts."""
        if self.outcomes[position] is None:
            self.outcomes[position] = outcome
            self.remaining -= 1

    def settle_rest(self, outcome: PairOutcome) -> int:
        """Give every pair that has no outcome this one; returns how many there were."""
        num_settled = self.remaining
        self.outcomes = [outcome if known is None else known for known in self.outcomes]
        self.remaining = 0
        return num_settled


@dataclass(frozen=True, slots=True)
class Batch:
    """What one model run takes: pairs of one lane, padded to the `longest`."""

    lane: object
    pairs: tuple[PairWork, ...]
    longest: int

    @property
    def padded_tokens(self) -> int:
        """Tokens that the model computes, padding included."""
        return len(self.pairs) * self.longest

    @property
    def padding_ratio(self) -> float:
        """The share of the computed tokens that is padding: 0 is none."""
        return 1.0 - sum(pair.length for pair in self.pairs) / self.padded_tokens


@dataclass(frozen=True, slots=True)
class RequestResult:
    """The outcomes in request order; `queue_s + model_s` is the time from submit to done."""

    outcomes: tuple[PairOutcome, ...]
    queue_s: float
    model_s: float
