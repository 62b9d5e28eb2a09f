"""An operation without a model and an observer that remembers, for tests of the queue and the engine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from service.batching.fault_isolation import Failure
from service.batching.jobs import Batch
from service.batching.latency_model import BatchPolicy, LatencyTable

PER_TOKEN = LatencyTable((1, 16), (8, 64), ((0.008, 0.064), (0.128, 1.024)))


@dataclass(frozen=True, eq=False)
class Idle:
    """A lane that only says what its work costs."""

    packing: BatchPolicy
    name: str = "idle"
    leads_on: bool = False

    def run(self, payloads: Sequence[Any]) -> Sequence[Any]:
        raise NotImplementedError

    def sound(self, result: Any) -> bool:
        raise NotImplementedError

    def halves(self, payload: Any) -> Sequence[Any]:
        raise NotImplementedError

    def join(self, halves: Sequence[Any], results: Sequence[Any]) -> Any:
        raise NotImplementedError


def lane_of(cost: LatencyTable = PER_TOKEN, *, max_batch_tokens: int = 4096, max_batch_s: float = 100.0) -> Idle:
    return Idle(BatchPolicy(cost, max_batch_tokens=max_batch_tokens, max_batch_s=max_batch_s))


USUAL = lane_of()


@dataclass
class Told:
    """An observer that remembers."""

    batches: list[Batch] = field(default_factory=list)
    expired: int = 0
    departed: int = 0
    failures: list[Failure] = field(default_factory=list)

    def batch_done(self, batch: Batch, seconds: float) -> None:
        self.batches.append(batch)

    def items_expired(self, lane: str, num_items: int) -> None:
        assert lane == "pair"
        self.expired += num_items

    def items_departed(self, lane: str, num_items: int) -> None:
        assert lane == "pair"
        self.departed += num_items

    def run_failed(self, kind: Failure) -> None:
        self.failures.append(kind)
