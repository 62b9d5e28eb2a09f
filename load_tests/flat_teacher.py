"""Speed relative to the flat teacher: the same warm lists through the same service with the teacher's bundle.

The teacher's service is a second process that is idle during the other's turn, and vice versa. A flat model takes
seconds for a list and so completes few: a request that spans an edge contributes its pairs in proportion.
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

RATIO_TARGET, MIN_RATIO = 200.0, 150.0


@dataclass(frozen=True, slots=True)
class Turns:
    """One A (the service) and its B (the teacher), pairs/s."""

    service: float
    teacher: float

    @property
    def ratio(self) -> float:
        return self.service / self.teacher


@asynccontextmanager
async def teacher_service(bundle: Path) -> AsyncIterator[str]:
    """The address of the service with the teacher's bundle."""
    port = free_port()
    environment = {"FITSCORE_BUNDLE": str(bundle), "FITSCORE_PORT": str(port), "FITSCORE_DEVICE": "cpu"}
    async with running([sys.executable, "-m", "service"], port, "/readyz", environment=environment | SATURATED) as url:
        yield url


async def turns(service: str, teacher: str, traffic: WarmTraffic, load: Load, teacher_load: Load, number: int) -> Turns:
    """Both on the same lists in the same order."""
    service_summary = await saturated(service, traffic.calls(number), load)
    teacher_summary = await saturated(teacher, traffic.calls(number), teacher_load)
    return Turns(service_summary.pairs_per_s, teacher_summary.pairs_per_s)


def figures(rounds: Sequence[Turns]) -> list[Figure]:
    """Gates on the median ratio and on the lowest one."""
    ratios = [one.ratio for one in rounds]
    return [
        Figure("flat teacher in the same service, warm lists, pairs/s", statistics.median(r.teacher for r in rounds)),
        Figure("service, warm lists, pairs/s", statistics.median(one.service for one in rounds)),
        at_least("service / flat teacher, warm lists, pairs/s", statistics.median(ratios), RATIO_TARGET),
        at_least("service / flat teacher, the lowest round", min(ratios), MIN_RATIO),
    ]
