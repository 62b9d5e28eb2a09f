"""What travels inside the service: work of one lane, its items, a batch of them, and what comes back.

Knows nothing about text, tensors, HTTP or threads: payloads and results are opaque. Times are monotonic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Protocol

from service.batching.latency_model import BatchPolicy


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
    cold = "cold"
    unknown_candidate = "unknown_candidate"
    invalid = "invalid"
    store_down = "store_down"


class NoResult(Enum):
    """Why an item has no result: its run failed, or its deadline came first. The value says so to the caller."""

    failed = PairStatus.failed
    late = PairStatus.not_scored


class WrongShape(Exception):
    """Nobody can tell which result belongs to which payload; running it again would not help."""


class Operation(Protocol):
    """One kind of work: what runs it, and what that costs. Compared by identity; a batch never mixes lanes."""

    @property
    def name(self) -> str:
        """The kind of its items, as metrics call it."""
        ...

    @property
    def packing(self) -> BatchPolicy:
        """What its batches cost and which lengths may share one."""
        ...

    @property
    def leads_on(self) -> bool:
        """Whether more work for the same requests follows from its results."""
        ...

    def run(self, payloads: Sequence[Any]) -> Sequence[Any]:
        """One result per payload, in order. Raises WrongShape, or whatever the model raises."""
        ...

    def sound(self, result: Any) -> bool:  # noqa: ANN401 - opaque here, as payloads are
        """Whether every number of a result is finite."""
        ...

    def halves(self, payload: Any) -> Sequence[Any]:  # noqa: ANN401
        """A payload cut in two, to find what fails in it; empty where it can't be cut."""
        ...

    def join(self, halves: Sequence[Any], results: Sequence[Any]) -> Any:  # noqa: ANN401
        """One result from those of the halves; Loss.failed may stand among them."""
        ...


@dataclass(eq=False, slots=True)
class JobItem:
    """One payload on its way: its length (what it is padded by), and its place in the work it belongs to."""

    payload: Any
    length: int
    work: Job
    position: int


@dataclass(eq=False, slots=True)
class Job:
    """Items of one lane with one deadline: done when its last item is. Compared by identity.

    `behind_s`: its turn comes as though it had come, and were due, so much later; its deadline stays.
    A model swap needs no drain: another model has other lanes.
    """

    lane: Operation
    items: list[JobItem]
    arrived: float
    deadline: float
    outcomes: list[Any]
    remaining: int
    departed: bool = False
    model_s: float = 0.0
    behind_s: float = 0.0

    @classmethod
    def of(
        cls,
        lane: Operation,
        payloads: Sequence[Any],
        lengths: Sequence[int],
        *,
        arrived: float,
        deadline: float,
        behind_s: float = 0.0,
    ) -> Job:
        """Work of one item per payload; `lengths[i]` is what `payloads[i]` counts in its lane's cost table."""
        work = cls(lane, [], arrived, deadline, [None] * len(payloads), len(payloads), behind_s=behind_s)
        work.items = [
            JobItem(payload, length, work, position)
            for position, (payload, length) in enumerate(zip(payloads, lengths, strict=True))
        ]
        return work

    def settle(self, position: int, outcome: object) -> None:
        """Note one item's result or loss; the first word counts."""
        if self.outcomes[position] is None:
            self.outcomes[position] = outcome
            self.remaining -= 1

    def settle_rest(self, loss: NoResult) -> int:
        """Give up every item that has no outcome; returns how many there were."""
        num_settled = self.remaining
        self.outcomes = [loss if known is None else known for known in self.outcomes]
        self.remaining = 0
        return num_settled


@dataclass(frozen=True, slots=True)
class Batch:
    """What one model run takes: items of one lane, padded to the `longest`."""

    lane: Operation
    items: tuple[JobItem, ...]
    longest: int

    @property
    def predicted_s(self) -> float:
        """How many seconds it should run."""
        return self.lane.packing.seconds(len(self.items), self.longest)

    @property
    def padded(self) -> int:
        """What the model computes, in the lane's unit of length, padding included."""
        return len(self.items) * self.longest

    @property
    def padding_ratio(self) -> float:
        """The share of what is computed that is padding: 0 is none."""
        return 1.0 - sum(item.length for item in self.items) / self.padded


@dataclass(frozen=True, slots=True)
class JobResult:
    """A result or a Loss per item, in order; `queue_s + model_s` is the time from submit to done."""

    outcomes: Sequence[Any]
    queue_s: float
    model_s: float
