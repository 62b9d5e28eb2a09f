"""More than the service can do, open loop: goodput, latency of what was accepted, recovery, who is refused first.

Each request is a new member against ten candidates that the service keeps and has read, so that one costs what the
next does: were any of it cold, the first minute would measure the reading, and ten times that would be no overload.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from load_tests.fire.process import started
from load_tests.fire.result import Figure, Size
from load_tests.open_loop import Limits, arrivals, closed_loop, open_loop
from load_tests.payloads import Call
from load_tests.report import Sample, Summary, summarise
from load_tests.traffic import Mix
from load_tests.warm_lists import WarmTraffic, warm

DEADLINE_S = 1.0
RECOVERY_S = 2.0
TIMES = ((2, 0.95), (5, 0.93), (10, 0.90))
LIMITS = Limits(in_flight=5000, timeout_s=2 * DEADLINE_S)
# With these nothing is refused at the door: requests say that they have ten minutes.
OPEN_DOOR: dict[str, Any] = {"max_backlog_s": 3600, "max_connections": 20_000}
OPEN_S = 600.0
WARM = WarmTraffic(200, Mix(sizes=(10,), size_weights=(1.0,)), by_id=True)


def calls_of(part: int, deadline_s: float = DEADLINE_S, priority: str = "default") -> Iterator[Call]:
    """Endless requests, each with its deadline in head and body; members differ from part to part."""
    milliseconds = int(1000 * deadline_s)
    for each in WARM.calls(part):
        body = json.loads(each.body) | {"deadline_ms": milliseconds, "priority": priority}
        yield replace(each, body=json.dumps(body).encode(), headers=(("X-Deadline-Ms", str(milliseconds)),))


async def peak_of(url: str, seconds: float) -> float:
    """Requests a second that it can do, from a closed loop of a few clients."""
    samples = await closed_loop(url, calls_of(0, OPEN_S), 8, seconds, Limits(timeout_s=60))
    return max(1.0, summarise(samples, start=seconds / 4, end=seconds).goodput_per_s)


async def pushed(url: str, calls: Iterator[Call], rate: float, seconds: float, seed: int = 0) -> list[Sample]:
    """Poisson arrivals at a rate, whatever the service says."""
    return await open_loop(url, calls, arrivals(rate, seconds, seed), LIMITS)


def in_time(sample: Sample) -> bool:
    """Answered in full, and within the deadline as the caller's clock sees it."""
    return sample.outcome == "200" and sample.latency <= DEADLINE_S and sample.num_scored == sample.num_pairs


def share_in_time(samples: list[Sample]) -> float:
    """Of those that were sent."""
    return sum(map(in_time, samples)) / max(1, len(samples))


@dataclass(frozen=True, slots=True)
class Pushed:
    """What came through while it was pushed; and the share in time once the load had fallen for two seconds."""

    loaded: Summary
    recovered: float

    def goodput(self, peak: float) -> float:
        """As a share of the peak."""
        return self.loaded.goodput_per_s / peak


async def push(url: str, peak: float, times: float, seconds: float, deadline_s: float = DEADLINE_S) -> Pushed:
    """`times` the peak for a while, then half of it."""
    part = int(100 * times)
    loaded = await pushed(url, calls_of(part, deadline_s), times * peak, seconds)
    after = await pushed(url, calls_of(part + 1, deadline_s), 0.5 * peak, seconds / 2 + RECOVERY_S, seed=1)
    later = [sample for sample in after if sample.intended >= RECOVERY_S]
    summary = summarise(loaded, start=min(1.0, seconds / 4), end=seconds, deadline_s=DEADLINE_S)
    return Pushed(summary, share_in_time(later))


async def critical_share(url: str, peak: float, seconds: float, *, priorities: bool) -> float:
    """Three times the peak, of which a sixth is critical: the share of that which is answered in time."""
    important = calls_of(7 + priorities, priority="critical" if priorities else "default")
    other = calls_of(17 + priorities, priority="sheddable" if priorities else "default")
    mine, _ = await asyncio.gather(
        pushed(url, important, 0.5 * peak, seconds), pushed(url, other, 2.5 * peak, seconds, seed=2)
    )
    return share_in_time(mine)


async def overload(bundle: Path, size: Size) -> list[Figure]:
    """The rows of overload, recovery and priorities."""
    seconds = size.seconds
    async with started(bundle=bundle) as service:
        await warm(service.url, WARM)
        peak = await peak_of(service.url, seconds)
        found = [await push(service.url, peak, times, seconds) for times, _ in TIMES]
        critical = await critical_share(service.url, peak, seconds, priorities=True)
        level = await critical_share(service.url, peak, seconds, priorities=False)
    async with started(bundle=bundle, **OPEN_DOOR) as service:
        await warm(service.url, WARM)
        broken = await push(service.url, peak, 10, max(seconds, 5 * DEADLINE_S), OPEN_S)
    return [*_goodput(found, broken, peak), _recovery(found[-1], broken), _critical(critical, level)]


def _goodput(found: list[Pushed], broken: Pushed, peak: float) -> list[Figure]:
    return [
        Figure(
            f"goodput at {times}x of {peak:.1f} requests/s; accepted p99",
            f">= {least:.0%}; <= {1000 * DEADLINE_S:.0f} ms",
            f"{each.goodput(peak):.0%}; {each.loaded.latency_ms['p99']:.0f} ms"
            f" (sent late by {each.loaded.slip_ms['p99']:.0f} ms, p99)",
            each.goodput(peak) >= least and each.loaded.latency_ms["p99"] <= 1000 * DEADLINE_S,
            f"admission off, 10x: {broken.goodput(peak):.0%}",
            broken.goodput(peak) < least,
        )
        for (times, least), each in zip(TIMES, found, strict=True)
    ]


def _recovery(found: Pushed, broken: Pushed) -> Figure:
    return Figure(
        f"in time from {RECOVERY_S:.0f} s after 10x on, at 0.5x",
        ">= 99.9 %",
        f"{found.recovered:.2%}",
        found.recovered >= 0.999,
        f"admission off: {broken.recovered:.0%}",
        broken.recovered < 0.999,
    )


def _critical(critical: float, level: float) -> Figure:
    return Figure(
        "critical at 3x (a sixth of it), in time",
        ">= 99.5 %",
        f"{critical:.2%}",
        critical >= 0.995,
        f"all alike: {level:.0%}",
        level < 0.995,
    )
