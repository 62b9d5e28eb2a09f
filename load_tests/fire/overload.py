"""Open-loop load above capacity: goodput, latency of accepted requests, recovery, and priorities.

Each request is a new member against ten stored, warm candidates, so that all requests cost the same. With cold
candidates the first minute would measure their encoding, and ten times that peak would not be an overload.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from load_tests.fire.process import started
from load_tests.fire.result import Result, Size
from load_tests.open_loop import Limits, arrivals, closed_loop, open_loop
from load_tests.payloads import Call
from load_tests.report import Sample, Summary, summarise
from load_tests.traffic import Mix
from load_tests.warm_lists import WarmTraffic, warm

DEADLINE_S = 1.0
RECOVERY_S = 2.0
TIMES = ((2, 0.95), (5, 0.93), (10, 0.90))
LIMITS = Limits(in_flight=5000, timeout_s=2 * DEADLINE_S)
# Admission off: nothing is rejected, because requests state a deadline of ten minutes.
ADMISSION_OFF: dict[str, Any] = {"max_backlog_s": 3600, "max_connections": 20_000}
LONG_DEADLINE_S = 600.0
WARM = WarmTraffic(200, Mix(sizes=(10,), size_weights=(1.0,)), by_id=True)


def calls_of(part: int, deadline_s: float = DEADLINE_S, priority: str = "default") -> Iterator[Call]:
    """Endless requests with a deadline in header and body; each part has its own members."""
    milliseconds = int(1000 * deadline_s)
    for each in WARM.calls(part):
        body = json.loads(each.body) | {"deadline_ms": milliseconds, "priority": priority}
        yield replace(each, body=json.dumps(body).encode(), headers=(("X-Deadline-Ms", str(milliseconds)),))


async def peak_of(url: str, seconds: float) -> float:
    """Capacity in requests/s, from a closed loop of a few clients."""
    samples = await closed_loop(url, calls_of(0, LONG_DEADLINE_S), 8, seconds, Limits(timeout_s=60))
    return max(1.0, summarise(samples, start=seconds / 4, end=seconds).goodput_per_s)


async def offered(url: str, calls: Iterator[Call], rate: float, seconds: float, seed: int = 0) -> list[Sample]:
    """Poisson arrivals at a fixed rate, independent of the answers."""
    return await open_loop(url, calls, arrivals(rate, seconds, seed), LIMITS)


def in_time(sample: Sample) -> bool:
    """Answered in full, and within the deadline by the client's clock."""
    return sample.outcome == "200" and sample.latency <= DEADLINE_S and sample.num_scored == sample.num_pairs


def share_in_time(samples: list[Sample]) -> float:
    """Share of the sent requests."""
    return sum(map(in_time, samples)) / max(1, len(samples))


@dataclass(frozen=True, slots=True)
class StepResult:
    """Summary under load, and the share in time from two seconds after the load has dropped."""

    loaded: Summary
    recovered: float

    def goodput(self, peak: float) -> float:
        """Relative to the peak."""
        return self.loaded.goodput_per_s / peak


async def load_step(url: str, peak: float, times: float, seconds: float, deadline_s: float = DEADLINE_S) -> StepResult:
    """`times` the peak, then half of it."""
    part = int(100 * times)
    loaded = await offered(url, calls_of(part, deadline_s), times * peak, seconds)
    after = await offered(url, calls_of(part + 1, deadline_s), 0.5 * peak, seconds / 2 + RECOVERY_S, seed=1)
    later = [sample for sample in after if sample.intended >= RECOVERY_S]
    summary = summarise(loaded, start=min(1.0, seconds / 4), end=seconds, deadline_s=DEADLINE_S)
    return StepResult(summary, share_in_time(later))


async def critical_share(url: str, peak: float, seconds: float, *, priorities: bool) -> float:
    """Three times the peak, a sixth of it critical: the share of critical requests answered in time."""
    important = calls_of(7 + priorities, priority="critical" if priorities else "default")
    other = calls_of(17 + priorities, priority="sheddable" if priorities else "default")
    mine, _ = await asyncio.gather(
        offered(url, important, 0.5 * peak, seconds), offered(url, other, 2.5 * peak, seconds, seed=2)
    )
    return share_in_time(mine)


async def overload(bundle: Path, size: Size) -> list[Result]:
    """The results of overload, recovery and priorities."""
    seconds = size.seconds
    async with started(bundle=bundle) as service:
        await warm(service.url, WARM)
        peak = await peak_of(service.url, seconds)
        measured = [await load_step(service.url, peak, times, seconds) for times, _ in TIMES]
        critical = await critical_share(service.url, peak, seconds, priorities=True)
        same_priority = await critical_share(service.url, peak, seconds, priorities=False)
    async with started(bundle=bundle, **ADMISSION_OFF) as service:
        await warm(service.url, WARM)
        broken = await load_step(service.url, peak, 10, max(seconds, 5 * DEADLINE_S), LONG_DEADLINE_S)
    return [*_goodput(measured, broken, peak), _recovery(measured[-1], broken), _critical(critical, same_priority)]


def _goodput(measured: list[StepResult], broken: StepResult, peak: float) -> list[Result]:
    return [
        Result(
            f"goodput at {times}x of {peak:.1f} requests/s; p99 of accepted",
            f">= {least:.0%}; <= {1000 * DEADLINE_S:.0f} ms",
            f"{each.goodput(peak):.0%}; {each.loaded.latency_ms['p99']:.0f} ms"
            f" (client late by {each.loaded.slip_ms['p99']:.0f} ms, p99)",
            each.goodput(peak) >= least and each.loaded.latency_ms["p99"] <= 1000 * DEADLINE_S,
            f"admission off, 10x: {broken.goodput(peak):.0%}",
            broken.goodput(peak) < least,
        )
        for (times, least), each in zip(TIMES, measured, strict=True)
    ]


def _recovery(measured: StepResult, broken: StepResult) -> Result:
    return Result(
        f"in time at 0.5x, from {RECOVERY_S:.0f} s after 10x",
        ">= 99.9 %",
        f"{measured.recovered:.2%}",
        measured.recovered >= 0.999,
        f"admission off: {broken.recovered:.0%}",
        broken.recovered < 0.999,
    )


def _critical(critical: float, same_priority: float) -> Result:
    return Result(
        "critical requests (a sixth) in time at 3x",
        ">= 99.5 %",
        f"{critical:.2%}",
        critical >= 0.995,
        f"same priority for all: {same_priority:.0%}",
        same_priority < 0.995,
    )
