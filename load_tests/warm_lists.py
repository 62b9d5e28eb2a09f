"""Long lists of warm candidates: one new member against 250 that the service has seen before.

Alone, then at half of the capacity that was measured in between, with Poisson arrivals. For a flat model
nothing of a candidate can be warm but its tokens.
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
from load_tests.traffic import Ask, Mix, Text, asks_from, fixed_candidates

P50_WANTED_MS, P99_WANTED_MS = 45.0, 100.0
SLIP_P99_WANTED_MS = 5.0
SOME = 100
HALF = 0.5


@dataclass(frozen=True, slots=True)
class WarmTraffic:
    """Lists as the mix has them, but out of so many fixed candidates, and each with a new member. `by_id`: the service
    was given the candidates before, and requests name them.
    """

    fixed: int
    mix: Mix
    by_id: bool = False

    def some_at_once(self) -> list[tuple[Text, ...]]:
        """All candidates, each once."""
        candidates = fixed_candidates(self.mix, self.fixed)
        return [tuple(candidates[at : at + SOME]) for at in range(0, self.fixed, SOME)]

    def calls(self, part: int, dialect: Dialect = "score") -> Iterator[Call]:
        """Endless and made as they are taken; members differ from part to part of a measurement."""
        candidates = self.asked_for(fixed_candidates(self.mix, self.fixed))
        mix = replace(self.mix, seed=1000 * self.mix.seed + part)
        return (call(ask, dialect, DEADLINE_MS) for ask in asks_from(candidates, mix))

    def asked_for(self, candidates: Sequence[Text]) -> tuple[Text, ...]:
        """As they stand in a request."""
        return tuple(Text(each.id, "") for each in candidates) if self.by_id else tuple(candidates)


@dataclass(frozen=True, slots=True)
class Lists:
    """One client alone; lists a second that the service can answer; and the load of half of them."""

    alone: Summary
    capacity: float
    half: Summary


async def give(url: str, traffic: WarmTraffic) -> None:
    """Let the service keep the candidates where requests name them. Raises RuntimeError where it does not."""
    async with Connections(url) as connections:
        for some in traffic.some_at_once() if traffic.by_id else ():
            answer = await connections.put(*upsert(some))
            if answer.status != 200:
                raise RuntimeError(f"candidates cannot be given to the service: {answer.status}")


async def warm(url: str, traffic: WarmTraffic) -> None:
    """Have every candidate scored once. Raises RuntimeError where one is not."""
    await give(url, traffic)
    for some in traffic.some_at_once():
        one = call(Ask(Text("warm", "warm"), traffic.asked_for(some)), "score", DEADLINE_MS)
        [sample] = await open_loop(url, [one], [0.0], Limits(timeout_s=DEADLINE_MS / 1000))
        if sample.num_scored < one.num_pairs:
            raise RuntimeError(f"{sample.num_scored} of {one.num_pairs} candidates were scored: {sample.outcome}")


async def measure_lists(url: str, traffic: WarmTraffic, load: Load) -> Lists:
    """Warm the candidates, then each of the three for as long as `load` says; the mix has one size. Raises RuntimeError
    for an answer that is not whole: its time would say nothing.
    """
    await warm(url, traffic)
    end, limits = load.warm_s + load.seconds, Limits(timeout_s=DEADLINE_MS / 1000)
    alone = await closed_loop(url, traffic.calls(0), 1, end, limits)
    capacity = (await saturated(url, traffic.calls(1), load)).pairs_per_s / traffic.mix.sizes[0]
    half = await open_loop(url, traffic.calls(2), arrivals(HALF * capacity, end, traffic.mix.seed), limits)
    return Lists(_summary(alone, load), capacity, _summary(half, load))


def _summary(samples: Sequence[Sample], load: Load) -> Summary:
    if any(sample.num_scored < sample.num_pairs for sample in samples):
        raise RuntimeError(f"not every answer was whole: {dict(Counter(sample.outcome for sample in samples))}")
    return summarise(samples, start=load.warm_s, end=load.warm_s + load.seconds)


def figures(lists: Lists, size: int) -> list[Figure]:
    """Two gates on the service's time, and one on the generator's: sent late, a time says nothing."""
    name = f"1 member x {size} warm candidates"
    at_half = f"{name}, Poisson arrivals at half of that"
    alone_ms, half_ms = lists.alone.latency_ms, lists.half.latency_ms
    return [
        at_most(f"{name}, one client, ms, p50", alone_ms["p50"], P50_WANTED_MS),
        Figure(f"{name}, one client, ms, p99", alone_ms["p99"]),
        Figure(f"{name}, lists/s when saturated", lists.capacity),
        Figure(f"{at_half}, ms, p50", half_ms["p50"]),
        at_most(f"{at_half}, ms, p99", half_ms["p99"], P99_WANTED_MS),
        Figure(f"{at_half}, requests", lists.half.requests),
        at_most(f"{at_half}, ms that the generator was late, p99", lists.half.slip_ms["p99"], SLIP_P99_WANTED_MS),
    ]
