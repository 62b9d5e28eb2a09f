"""The same warm lists through the same service with another bundle, the flat teacher: how often as fast it is.

The teacher's service is a second process that stands still during our turn, and ours during its. A flat model takes
seconds for a list, so it gets few: a request that lies across an edge gives its pairs in proportion.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from load_tests.report import Figure, at_least
from load_tests.server import SATURATED, free_port, running
from load_tests.throughput import Load, saturated
from load_tests.warm_lists import WarmTraffic

RATIO_WANTED, LEAST_RATIO = 200.0, 150.0


@dataclass(frozen=True, slots=True)
class Turns:
    """One A (ours) and its B (the teacher's), pairs/s."""

    ours: float
    teacher: float

    @property
    def ratio(self) -> float:
        return self.ours / self.teacher


@asynccontextmanager
async def teacher_service(bundle: Path) -> AsyncIterator[str]:
    """The address of the service with the teacher's bundle."""
    port = free_port()
    environment = {"FITSCORE_BUNDLE": str(bundle), "FITSCORE_PORT": str(port), "FITSCORE_DEVICE": "cpu"}
    async with running([sys.executable, "-m", "service"], port, "/readyz", environment=environment | SATURATED) as url:
        yield url


async def turns(ours: str, teacher: str, traffic: WarmTraffic, load: Load, teacher_load: Load, number: int) -> Turns:
    """Both on the same lists, in the same order, from the first."""
    ours_summary = await saturated(ours, traffic.calls(number), load)
    teacher_summary = await saturated(teacher, traffic.calls(number), teacher_load)
    return Turns(ours_summary.pairs_per_s, teacher_summary.pairs_per_s)


def figures(rounds: Sequence[Turns]) -> list[Figure]:
    """The median must reach the target, and the worst round the least of it."""
    ratios = [one.ratio for one in rounds]
    return [
        Figure("flat teacher in the same service, warm lists, pairs/s", statistics.median(r.teacher for r in rounds)),
        Figure("service, warm lists, pairs/s", statistics.median(one.ours for one in rounds)),
        at_least("service / flat teacher, warm lists, pairs/s", statistics.median(ratios), RATIO_WANTED),
        at_least("service / flat teacher, the lowest round", min(ratios), LEAST_RATIO),
    ]
