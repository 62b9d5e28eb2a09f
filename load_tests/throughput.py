"""Throughput: saturated `POST /score`, relative to the bare loop over the same runs, measured in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from load_tests.bare_onnx_baseline import BareLoop, RunLog
from load_tests.open_loop import Limits, closed_loop
from load_tests.payloads import Call
from load_tests.report import Figure, Summary, at_least, summarise
from load_tests.server import DEADLINE_MS

RATIO_TARGET = 0.90


@dataclass(frozen=True, slots=True)
class Load:
    """A closed loop of `clients` for `seconds`, after `warm_s` that do not count."""

    clients: int
    warm_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Round:
    """One A and its B, pairs/s. `busy` is the share of A in which the model ran, `filled` the share of pairs in the
    runs that are not padding; padding counts for the bare loop.
    """

    service: float
    bare: float
    busy: float
    filled: float
    runs: int

    @property
    def ratio(self) -> float:
        return self.service / self.bare

    def row(self, number: int) -> dict[str, object]:
        """As a row of a table."""
        return {
            "round": number,
            "service pairs/s": round(self.service, 2),
            "bare pairs/s": round(self.bare, 2),
            "ratio": round(self.ratio, 4),
            "model busy": round(self.busy, 4),
            "filled": round(self.filled, 4),
            "runs": self.runs,
        }


async def one_round(url: str, calls: Sequence[Call], log: RunLog, bare: BareLoop, load: Load) -> Round:
    """A: the service, saturated; B: the bare loop over the runs of A."""
    began = time.monotonic()
    summary = await saturated(url, calls, load)
    runs = log.runs(began + load.warm_s, began + load.warm_s + load.seconds)
    num_pairs = sum(map(bare.num_pairs, runs))
    if not num_pairs:
        raise RuntimeError("no scoring run was recorded: measure longer, and with plain sessions only")
    busy = sum(run.seconds for run in runs) / load.seconds
    filled = summary.pairs_per_s * load.seconds / num_pairs
    return Round(summary.pairs_per_s, bare.pairs_per_s(runs), busy, filled, len(runs))


async def saturated(url: str, calls: Iterable[Call], load: Load) -> Summary:
    """Summary of a closed loop. Raises RuntimeError for any answer but 200."""
    end = load.warm_s + load.seconds
    samples = await closed_loop(url, calls, load.clients, end, Limits(timeout_s=DEADLINE_MS / 1000))
    summary = summarise(samples, start=load.warm_s, end=end)
    if set(summary.outcomes) != {"200"}:
        raise RuntimeError(f"a saturated service must answer 200, not {dict(summary.outcomes)}")
    return summary


def figures(rounds: Sequence[Round]) -> list[Figure]:
    """The ratio is taken in each round, so that a slow round cancels out."""
    ratio = statistics.median(one.ratio for one in rounds)
    return [at_least("service / bare loop, pairs/s", ratio, RATIO_TARGET)]
