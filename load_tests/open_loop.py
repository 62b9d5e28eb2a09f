"""Load a server from outside: Poisson arrivals at a fixed rate, or a fixed number of clients with `--clients`.

Open loop measures latency: arrivals are drawn before the run and do not wait for answers, and latency counts from the
intended send time. The run reports its slip, and is invalid when the generator was late. Closed loop (`--clients N`)
saturates: each client sends its next request after the last answer. Prints a table and a JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle

from load_tests.client import Answer, BrokenAnswer, Connections
from load_tests.payloads import PATHS, Call, call, scored_pairs
from load_tests.report import Sample, Summary, json_line, summarise, table
from load_tests.traffic import Mix, first


@dataclass(frozen=True, slots=True)
class Limits:
    """At most `in_flight` open requests, others are dropped and counted; an answer may take `timeout_s`."""

    in_flight: int = 512
    timeout_s: float = 60.0


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Send times of a Poisson process: sorted seconds from the start, all below `seconds`."""
    rng = random.Random(seed)
    times: list[float] = []
    now = rng.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += rng.expovariate(rate)
    return times


async def open_loop(url: str, calls: Iterable[Call], times: Sequence[float], limits: Limits) -> list[Sample]:
    """One sample per arrival, in order of completion. Cycles through `calls`; an iterator must not end."""
    samples: list[Sample] = []
    tasks: set[asyncio.Task[None]] = set()
    async with Connections(url) as connections:
        start = time.perf_counter()
        for intended, request in zip(times, _turns(calls), strict=False):
            delay = start + intended - time.perf_counter()
            await asyncio.sleep(max(delay, 0))
            if len(tasks) >= limits.in_flight:
                now = time.perf_counter() - start
                samples.append(Sample(intended, now, now, "dropped", request.num_pairs, 0))
                continue
            task = asyncio.create_task(_one(connections, request, start, intended, limits, samples))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
    return samples


async def closed_loop(url: str, calls: Iterable[Call], clients: int, seconds: float, limits: Limits) -> list[Sample]:
    """Keeps `clients` requests open for `seconds`; a stalled server stalls its load. `calls` as in `open_loop`."""
    samples: list[Sample] = []
    turns = _turns(calls)
    async with Connections(url) as connections:
        start = time.perf_counter()

        async def client() -> None:
            while (now := time.perf_counter() - start) < seconds:
                await _one(connections, next(turns), start, now, limits, samples)

        await asyncio.gather(*(client() for _ in range(clients)))
    return samples


def _turns(calls: Iterable[Call]) -> Iterator[Call]:
    """`cycle` would keep all items of an endless iterator in memory."""
    return calls if isinstance(calls, Iterator) else cycle(calls)


async def _one(
    connections: Connections,
    request: Call,
    start: float,
    intended: float,
    limits: Limits,
    samples: list[Sample],
) -> None:
    sent = time.perf_counter() - start
    outcome, num_scored = "failed", 0
    try:
        async with asyncio.timeout(limits.timeout_s):
            answer: Answer = await connections.post(request.path, request.body, request.headers)
        outcome, num_scored = str(answer.status), scored_pairs(request, answer.status, answer.body)
    except TimeoutError:
        outcome = "timeout"
    except (BrokenAnswer, OSError):
        outcome = "no_answer"
    samples.append(Sample(intended, sent, time.perf_counter() - start, outcome, request.num_pairs, num_scored))


def rows(summary: Summary) -> list[dict[str, object]]:
    """The summary as one row of a table."""
    latency = {f"{name} ms": value for name, value in summary.latency_ms.items()}
    outcomes = " ".join(f"{outcome}:{num}" for outcome, num in summary.outcomes.items())
    rates = {"goodput/s": summary.goodput_per_s, "pairs/s": summary.pairs_per_s}
    return [
        {
            "requests": summary.requests,
            "outcomes": outcomes,
            **latency,
            **rates,
            "slip p99 ms": summary.slip_ms["p99"],
        }
    ]


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.open_loop", description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--dialect", choices=sorted(PATHS), default="score")
    parser.add_argument("--rate", type=float, default=5.0, help="requests a second, open loop")
    parser.add_argument("--clients", type=int, help="closed loop with this many clients")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured time")
    parser.add_argument("--warm-seconds", type=float, default=3.0, help="before the measured time")
    parser.add_argument("--deadline-ms", type=int, help="sent with each request; later answers do not count as goodput")
    parser.add_argument("--sizes", type=int, nargs="+", help="list sizes, equally often; default: the mix")
    parser.add_argument("--requests", type=int, default=300, help="distinct requests; then they repeat")
    parser.add_argument("--in-flight", type=int, default=512, help="open requests; more are dropped and counted")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for an answer")
    parser.add_argument("--slip-ms", type=float, default=5.0, help="a run with a higher slip p99 is invalid")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def mix_of(sizes: Sequence[int] | None, seed: int) -> Mix:
    """The default mix, or one with these list sizes equally often."""
    return Mix(seed=seed, sizes=tuple(sizes), size_weights=(1.0,) * len(sizes)) if sizes else Mix(seed=seed)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 1 when the run is invalid, or no request was answered 200."""
    options = parse(argv)
    calls = [
        call(request, options.dialect, options.deadline_ms)
        for request in first(mix_of(options.sizes, options.seed), options.requests)
    ]
    limits = Limits(options.in_flight, options.timeout)
    end = options.warm_seconds + options.seconds
    # A garbage collection pause of the generator would count as the server's latency.
    gc.freeze()
    gc.disable()
    if options.clients:
        samples = asyncio.run(closed_loop(options.url, calls, options.clients, end, limits))
    else:
        samples = asyncio.run(open_loop(options.url, calls, arrivals(options.rate, end, options.seed), limits))
    deadline_s = options.deadline_ms / 1000 if options.deadline_ms else None
    summary = summarise(samples, start=options.warm_seconds, end=end, deadline_s=deadline_s)
    valid = options.clients is not None or summary.slip_ms["p99"] <= options.slip_ms
    print(table(rows(summary)))
    if not valid:
        print(f"INVALID: the generator was late: slip p99 {summary.slip_ms['p99']} ms > {options.slip_ms} ms")
    print(json_line("open_loop", {"mode": "closed" if options.clients else "open", "valid": valid, **asdict(summary)}))
    return 0 if valid and "200" in summary.outcomes else 1


if __name__ == "__main__":
    sys.exit(main())
