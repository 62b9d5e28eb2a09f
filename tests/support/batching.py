"""An operation without a model and an observer that remembers, for tests of the queue and the engine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from service.batching.fault_isolation import Failure
from service.batching.jobs import Operation
from service.batching.latency_model import LatencyTable
from service.batching.packing import BatchPolicy

PER_TOKEN = LatencyTable((1, 16), (8, 64), ((0.008, 0.064), (0.128, 1.024)))


def never_run(payloads: Sequence[Any]) -> Sequence[Any]:
    raise NotImplementedError


def operation_of(
    latency: LatencyTable = PER_TOKEN, *, max_batch_tokens: int = 4096, max_batch_s: float = 100.0
) -> Operation:
    """An operation that never runs: only its costs count."""
    policy = BatchPolicy(latency, max_batch_tokens=max_batch_tokens, max_batch_s=max_batch_s)
    return Operation("idle", policy, never_run, bool)


USUAL = operation_of()


@dataclass
class RecordingObserver:
    """An observer that remembers; `batches` are their numbers of items."""

    batches: list[int] = field(default_factory=list)
    expired: int = 0
    cancelled: int = 0
    failures: list[Failure] = field(default_factory=list)

    def batch_done(self, operation: str, num_items: int, padding_ratio: float, seconds: float) -> None:
        self.batches.append(num_items)

    def items_expired(self, operation: str, num_items: int) -> None:
        assert operation == "pair"
        self.expired += num_items

    def items_cancelled(self, operation: str, num_items: int) -> None:
        assert operation == "pair"
        self.cancelled += num_items

    def run_failed(self, kind: Failure) -> None:
        self.failures.append(kind)
