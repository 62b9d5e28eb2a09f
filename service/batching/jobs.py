"""What the model thread works on: operations, jobs of items, batches of items, results.

Knows nothing about text, tensors, HTTP or threads: payloads and results are opaque. Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from service.batching.packing import BatchPolicy


class NoResult(Enum):
    """Why an item has no result: its run failed, or its deadline passed first."""

    failed = "failed"
    late = "late"


class WrongShape(Exception):
    """The model returned something other than one result per payload; running it again would not help."""


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """Predicted seconds of a request, before its texts are read: to prepare it, to encode its member, to score it.

    A request that encodes its member first waits once more, for the batch that runs by then: at most `turn_s`.
    """

    prepare_s: float
    encode_s: float
    score_s: float
    turn_s: float = 0.0
    work_s: float = field(init=False)
    """Seconds of the request's own work."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "work_s", self.prepare_s + self.encode_s + self.score_s)


@dataclass(frozen=True, slots=True)
class Bisection:
    """How a payload is divided to find the part that fails.

    `divide` returns two halves, or nothing if the payload cannot be divided. `join` makes one result of the results
    of both halves, of which some may be `NoResult.failed`.
    """

    divide: Callable[[Any], Sequence[Any]]
    join: Callable[[Sequence[Any], Sequence[Any]], Any]


@dataclass(frozen=True, eq=False, slots=True)
class Operation:
    """One kind of model run. Compared by identity; a batch never mixes operations.

    `run` returns one result per payload, in order. It raises WrongShape, or any error of the model. `has_followup`: the
    results of a batch lead to further jobs for the same requests.
    """

    name: str
    batch_policy: BatchPolicy
    run: Callable[[Sequence[Any]], Sequence[Any]]
    is_finite: Callable[[Any], bool]
    has_followup: bool = False
    bisection: Bisection | None = None


@dataclass(eq=False, slots=True)
class JobItem:
    """One payload, its length in the unit of its operation, and its position in its job."""

    payload: Any
    length: int
    job: Job
    position: int


class Job:
    """Items of one operation with one deadline: done when its last item is. Compared by identity.

    `priority_penalty_s` is added to the scheduling key only; the deadline is unchanged. A model swap needs no drain,
    since the new model has operations of its own.
    """

    def __init__(
        self,
        operation: Operation,
        payloads: Sequence[Any],
        lengths: Sequence[int],
        *,
        arrived: float,
        deadline: float,
        priority_penalty_s: float = 0.0,
    ) -> None:
        """One item per payload; `lengths[i]` is the length of `payloads[i]`."""
        pairs = zip(payloads, lengths, strict=True)
        self.items = [JobItem(payload, length, self, position) for position, (payload, length) in enumerate(pairs)]
        self.operation = operation
        self.arrived = arrived
        self.deadline = deadline
        self.priority_penalty_s = priority_penalty_s
        self.outcomes: list[Any] = [None] * len(payloads)
        self.remaining = len(payloads)
        self.cancelled = False
        self.model_s = 0.0

    def settle(self, position: int, outcome: object) -> None:
        """Record an outcome; later outcomes for the same item are ignored."""
        if self.outcomes[position] is None:
            self.outcomes[position] = outcome
            self.remaining -= 1

    def settle_rest(self, reason: NoResult) -> int:
        """Record `reason` for every item without an outcome; returns how many there were."""
        num_settled = self.remaining
        self.outcomes = [reason if known is None else known for known in self.outcomes]
        self.remaining = 0
        return num_settled


@dataclass(frozen=True, slots=True)
class Batch:
    """The items of one model run, all of one operation and padded to `longest`."""

    operation: Operation
    items: tuple[JobItem, ...]
    longest: int

    @property
    def predicted_s(self) -> float:
        """Seconds of the run by the latency table."""
        return self.operation.batch_policy.seconds(len(self.items), self.longest)

    @property
    def padding_ratio(self) -> float:
        """The padded fraction of the computed length."""
        return 1.0 - sum(item.length for item in self.items) / (len(self.items) * self.longest)


@dataclass(frozen=True, slots=True)
class JobResult:
    """A result or NoResult per item, in order, and the seconds of the runs that they were part of."""

    outcomes: Sequence[Any]
    model_s: float
