"""The load curve and what came of it: arrivals in phases, and the share of them that was answered in time."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Phase:
    """Seconds at a rate, which is a multiple of one replica's capacity."""

    seconds: float
    multiple: float


@dataclass(frozen=True)
class Arrival:
    """A request: when it was due, in seconds from the start, and whether it was answered 200 within its deadline."""

    due: float
    good: bool


@dataclass(frozen=True)
class Tick:
    """The state at one decision of the autoscaler. `value` is the mean of the metric over the ready replicas."""

    at: float
    ready: int
    starting: int
    value: float


def arrivals(phases: Sequence[Phase], capacity: float, seed: int) -> list[float]:
    """Due times of a Poisson process whose rate changes with the phases."""
    rng, found, begin = random.Random(seed), list[float](), 0.0
    for phase in phases:
        now = begin + rng.expovariate(phase.multiple * capacity)
        begin += phase.seconds
        while now < begin:
            found.append(now)
            now += rng.expovariate(phase.multiple * capacity)
    return found


def goodput(found: Sequence[Arrival], start: float, end: float) -> float:
    """The share of the requests due in a time that were answered in time; NaN if none was due."""
    due = [each.good for each in found if start <= each.due < end]
    return sum(due) / len(due) if due else math.nan


def by_time(found: Sequence[Arrival], end: float, width: float) -> list[float]:
    """Goodput in steps of `width` seconds."""
    return [goodput(found, step * width, (step + 1) * width) for step in range(math.ceil(end / width))]


def recovery_s(shares: Sequence[float], width: float, step_at: float, step_end: float, enough: float) -> float:
    """Seconds from the step up until goodput stays at `enough` to the end of the step; infinite if it never does."""
    first, last = math.ceil(step_at / width), math.floor(step_end / width)
    low = [place for place in range(first, last) if not shares[place] >= enough]
    if not low:
        return 0.0
    return math.inf if low[-1] == last - 1 else (low[-1] + 1) * width - step_at


def turns(ticks: Sequence[Tick]) -> int:
    """How often the number of replicas changed its direction: once for a load that goes up and down again."""
    totals = [each.ready + each.starting for each in ticks]
    changes = [after - before for before, after in pairwise(totals) if after != before]
    return sum((before > 0) != (after > 0) for before, after in pairwise(changes))


def replica_seconds(ticks: Sequence[Tick]) -> float:
    """What the run cost: replicas times seconds."""
    pairs = pairwise(ticks)
    return sum((before.ready + before.starting) * (after.at - before.at) for before, after in pairs)
