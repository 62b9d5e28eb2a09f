"""Runs one batch on its lane and isolates what fails, so that a bad item costs only itself.

Knows nothing about queues, threads or deadlines, nor what a lane does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from service.batching.jobs import Batch, NoResult, Operation, WrongShape

Failure = Literal["error", "shape", "not_finite", "hung", "died"]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """A result or a Loss for each item of a batch, in order, and what went wrong on the way.

    A result that is not finite is a result: whoever reads it sees which of its numbers are missing.
    """

    outcomes: Sequence[Any]
    failures: Sequence[Failure]


def run_batch(batch: Batch, before_run: Callable[[], None]) -> BatchResult:
    """Run a batch; where that raises, run its halves, down to the item, and the part of it, that fails alone.

    `before_run` is called before each run: a long series of short runs is not one that hangs.
    """
    runs = _Runs(batch.lane, before_run)
    outcomes = runs.results([item.payload for item in batch.items])
    return BatchResult(outcomes, runs.failures)


@dataclass(frozen=True, slots=True)
class _Runs:
    lane: Operation
    before_run: Callable[[], None]
    failures: list[Failure] = field(default_factory=list)

    def results(self, payloads: Sequence[Any]) -> list[Any]:
        self.before_run()
        try:
            results = list(self.lane.run(payloads))
            if len(results) != len(payloads):
                raise WrongShape
        except WrongShape:
            self.failures.append("shape")
            return [NoResult.failed] * len(payloads)
        except Exception:  # Whatever a model raises, the other items and the other batches go on.
            self.failures.append("error")
            return self._of_halves(payloads)
        if not all(map(self.lane.sound, results)):
            self.failures.append("not_finite")
        return results

    def _of_halves(self, payloads: Sequence[Any]) -> list[Any]:
        if len(payloads) > 1:
            half = len(payloads) // 2
            return self.results(payloads[:half]) + self.results(payloads[half:])
        halves = self.lane.halves(payloads[0])
        if not halves:
            return [NoResult.failed]
        return [self.lane.join(halves, [self.results([half])[0] for half in halves])]
