"""What a system costs: how long one list takes, pairs a second, bytes, tokens and dollars.

Every text is read from scratch, on this machine. A service keeps encoded candidates and is faster.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.held_out import HeldOutSet
from training.evaluation.decision.scoring import Scored
from training.evaluation.systems.interface import Cost, Kind, System
from training.files import read_json, write_json

TIMED, TIMED_SLOW = 8, 2
"""Lists that are timed one by one, and those of a slow system."""
SLOW: tuple[Kind, ...] = ("teacher", "prompted")


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one list in the middle and at worst, over `lists` lists of about `candidates` candidates."""

    middle: float
    worst: float
    lists: int
    candidates: int


@dataclass(frozen=True)
class SystemReport:
    """What a system is and costs. `pairs_per_second` counts whole texts read by this run on its machine."""

    name: str
    kind: Kind
    seeds: int
    cost: Cost
    pairs_per_second: float | None
    latency: Latency | None
    limited_to: int | None


def latency(system: System, held_out: HeldOutSet, cache: Path | None) -> Latency | None:
    """Time one list after another, after one that warms up; None for stored scores. Measured once for a cache."""
    if not system.identity or not held_out.lists:
        return None
    path = cache / f"{system.identity[:24]}-{held_out.digest}-latency.json" if cache else None
    if path and path.exists():
        return Latency(**read_json(path))
    lists = [each.list for each in held_out.lists[: TIMED_SLOW if system.kind in SLOW else TIMED]]
    system.score(lists[:1])
    seconds = []
    for each in lists:
        started = time.perf_counter()
        system.score([each])
        seconds.append(time.perf_counter() - started)
    candidates = round(np.mean([len(each.candidates) for each in lists]))
    found = Latency(1000 * float(np.median(seconds)), 1000 * max(seconds), len(lists), candidates)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, vars(found))
    return found


def system_reports(
    systems: Sequence[System], scored: Sequence[Scored], main: HeldOutSet | None, cache: Path | None
) -> Iterable[SystemReport]:
    """Of each system that scored anything; `main` is the set whose lists are timed."""
    for name in dict.fromkeys([*(each.name for each in systems), *(each.name for each in scored)]):
        found = [each for each in scored if each.name == name]
        if not found:
            continue
        paces = sorted(each.pairs_per_second for each in found if each.pairs_per_second)
        system = next((each for each in systems if each.name == name), None)
        # The slowest set has the longest texts, and too few pairs say nothing of pace: the middle one is shown.
        pace = paces[len(paces) // 2] if paces else None
        timed = latency(system, main, cache) if system and main else None
        limit = system.most_lists if system else None
        first = found[0]
        yield SystemReport(name, first.kind, first.seeds, first.cost, pace, timed, limit)
