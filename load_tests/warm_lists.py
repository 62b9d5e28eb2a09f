"""Long lists of warm candidates: one new member against 250 candidates that the service has scored before.

First one client, then saturated, then Poisson arrivals at half of the measured capacity. A cross-encoder caches nothing
of a candidate but its tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from load_tests.client import Connections
from load_tests.open_loop import Limits, arrivals, closed_loop, open_loop
from load_tests.payloads import Call, Dialect, call, upsert
from load_tests.report import Figure, Sample, Summary, at_most, summarise
from load_tests.server import DEADLINE_MS
from load_tests.throughput import Load, saturated
from load_tests.traffic import Mix, RankingRequest, Text, fixed_candidates, requests_for

P50_TARGET_MS, P99_TARGET_MS = 45.0, 100.0
SLIP_P99_TARGET_MS = 5.0
BATCH = 100
HALF = 0.5


@dataclass(frozen=True, slots=True)
class WarmTraffic:
    """Lists of the mix, drawn from a fixed set of candidates, each with a new member. With `by_id`, candidates are
    stored in the service, and requests hold ids only.
    """

    fixed: int
    mix: Mix
    by_id: bool = False

    def batches(self) -> list[tuple[Text, ...]]:
        """All candidates, each once, in batches."""
        candidates = fixed_candidates(self.mix, self.fixed)
        return [tuple(candidates[at : at + BATCH]) for at in range(0, self.fixed, BATCH)]

    def calls(self, part: int, dialect: Dialect = "score") -> Iterator[Call]:
        """Endless requests, made lazily; each part of a measurement has its own members."""
        candidates = self.as_sent(fixed_candidates(self.mix, self.fixed))
        mix = replace(self.mix, seed=1000 * self.mix.seed + part)
        return (call(request, dialect, DEADLINE_MS) for request in requests_for(candidates, mix))

    def as_sent(self, candidates: Sequence[Text]) -> tuple[Text, ...]:
        """The candidates as a request holds them."""
        return tuple(Text(each.id, "") for each in candidates) if self.by_id else tuple(candidates)


@dataclass(frozen=True, slots=True)
class Lists:
    """Summary of one client alone, capacity in lists/s, and summary at half of it."""

    alone: Summary
    capacity: float
    half: Summary


async def store_candidates(url: str, traffic: WarmTraffic) -> None:
    """Store the candidates in the service if requests hold ids only. Raises RuntimeError on failure."""
    async with Connections(url) as connections:
        for batch in traffic.batches() if traffic.by_id else ():
            answer = await connections.put(*upsert(batch))
            if answer.status != 200:
                raise RuntimeError(f"the service did not store the candidates: {answer.status}")


async def warm(url: str, traffic: WarmTraffic) -> None:
    """Have every candidate scored once. Raises RuntimeError unless all are."""
    await store_candidates(url, traffic)
    for batch in traffic.batches():
        one = call(RankingRequest(Text("warm", "warm"), traffic.as_sent(batch)), "score", DEADLINE_MS)
        [sample] = await open_loop(url, [one], [0.0], Limits(timeout_s=DEADLINE_MS / 1000))
        if sample.num_scored < one.num_pairs:
            raise RuntimeError(f"{sample.num_scored} of {one.num_pairs} candidates were scored: {sample.outcome}")


async def measure_lists(url: str, traffic: WarmTraffic, load: Load) -> Lists:
    """Warm the candidates, then run each of the three measurements for the load's duration; the mix has one size.

    Raises RuntimeError for an incomplete answer, whose time would mean nothing.
    """
    await warm(url, traffic)
    end, limits = load.warm_s + load.seconds, Limits(timeout_s=DEADLINE_MS / 1000)
    alone = await closed_loop(url, traffic.calls(0), 1, end, limits)
    capacity = (await saturated(url, traffic.calls(1), load)).pairs_per_s / traffic.mix.sizes[0]
    half = await open_loop(url, traffic.calls(2), arrivals(HALF * capacity, end, traffic.mix.seed), limits)
    return Lists(_summary(alone, load), capacity, _summary(half, load))


def _summary(samples: Sequence[Sample], load: Load) -> Summary:
    if any(sample.num_scored < sample.num_pairs for sample in samples):
        raise RuntimeError(f"some answers were incomplete: {dict(Counter(sample.outcome for sample in samples))}")
    return summarise(samples, start=load.warm_s, end=load.warm_s + load.seconds)


def figures(lists: Lists, size: int) -> list[Figure]:
    """Two gates on the service's latency, and one on the generator's slip: late sending would invalidate latencies."""
    name = f"1 member x {size} warm candidates"
    at_half = f"{name}, Poisson arrivals at half of capacity"
    alone_ms, half_ms = lists.alone.latency_ms, lists.half.latency_ms
    return [
        at_most(f"{name}, one client, ms, p50", alone_ms["p50"], P50_TARGET_MS),
        Figure(f"{name}, one client, ms, p99", alone_ms["p99"]),
        Figure(f"{name}, lists/s when saturated", lists.capacity),
        Figure(f"{at_half}, ms, p50", half_ms["p50"]),
        at_most(f"{at_half}, ms, p99", half_ms["p99"], P99_TARGET_MS),
        Figure(f"{at_half}, requests", lists.half.requests),
        at_most(f"{at_half}, generator slip, ms, p99", lists.half.slip_ms["p99"], SLIP_P99_TARGET_MS),
    ]
