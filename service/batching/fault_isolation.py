"""Runs one batch, and bisects it on failure, so that a bad item fails alone. Knows no queues, threads or deadlines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from service.batching.jobs import Batch, NoResult, Operation, WrongShape

Failure = Literal["error", "shape", "not_finite", "hung", "died"]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """A result or NoResult for each item of a batch, in order, and the failures on the way.

    A result that is not finite is a result: its reader sees which of its numbers are missing.
    """

    outcomes: Sequence[Any]
    failures: Sequence[Failure]


def run_batch(batch: Batch, before_rerun: Callable[[], None]) -> BatchResult:
    """Run a batch. If that raises, run its halves, down to the item, and the part of it, that fails alone.

    `before_rerun` is called before each run but the first: a long series of short runs is not a run that hangs.
    """
    runs = _Runs(batch.operation, before_rerun)
    outcomes = runs.results([item.payload for item in batch.items])
    return BatchResult(outcomes, runs.failures)


@dataclass(frozen=True, slots=True)
class _Runs:
    operation: Operation
    before_rerun: Callable[[], None]
    failures: list[Failure] = field(default_factory=list)

    def results(self, payloads: Sequence[Any]) -> list[Any]:
        try:
            results = list(self.operation.run(payloads))
            if len(results) != len(payloads):
                raise WrongShape
        except WrongShape:
            self.failures.append("shape")
            return [NoResult.failed] * len(payloads)
        except Exception:  # A model may raise anything; the other items and batches go on.
            self.failures.append("error")
            return self._bisected(payloads)
        if not all(map(self.operation.is_finite, results)):
            self.failures.append("not_finite")
        return results

    def _bisected(self, payloads: Sequence[Any]) -> list[Any]:
        if len(payloads) > 1:
            half = len(payloads) // 2
            return self._rerun(payloads[:half]) + self._rerun(payloads[half:])
        bisection = self.operation.bisection
        halves = bisection.divide(payloads[0]) if bisection else ()
        if not bisection or not halves:
            return [NoResult.failed]
        return [bisection.join(halves, [self._rerun([half])[0] for half in halves])]

    def _rerun(self, payloads: Sequence[Any]) -> list[Any]:
        self.before_rerun()
        return self.results(payloads)
