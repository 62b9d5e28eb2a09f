"""Scales real replicas under a load curve, once by seconds of backlog and once, as a control, by CPU share.

    python -m load_tests.autoscaling.run [--limit quota] [--quick]

Needs `prometheus` on the path. Times of the chart's autoscaler are divided by `--speed`. It shows the shape of the loop
and no capacity: replicas share this machine, each limited by a planted delay (an accelerator's time) or a CPU quota.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

from load_tests.autoscaling.curve import (
    Arrival,
    Phase,
    Tick,
    arrivals,
    by_time,
    goodput,
    recovery_s,
    replica_seconds,
    turns,
)
from load_tests.autoscaling.fleet import Fleet, Kind
from load_tests.autoscaling.hpa import Autoscaler, Behaviour
from load_tests.client import Connections
from load_tests.payloads import Call, call
from load_tests.report import Figure, at_least, at_most, json_line, record, table
from load_tests.server import free_port, wait_until_ready
from load_tests.traffic import Mix, first

PHASES = (Phase(20, 0.5), Phase(80, 3.2), Phase(60, 0.5))
QUICK = (Phase(5, 0.5), Phase(15, 3.0), Phase(10, 0.5))
MIX = Mix(sizes=(2,), size_weights=(1,), member_words=12, candidate_words=12, longest_words=40, repeated=0)
WIDTH_S, ENOUGH = 5.0, 0.95
RESULTS = Path(__file__).resolve().parents[1] / "results"


@dataclass(frozen=True)
class Metric:
    """What the autoscaler looks at: a query for each replica's value, and the target."""

    name: str
    query: str
    target: float


@dataclass(frozen=True)
class Arm:
    """One run of the curve."""

    metric: Metric
    found: list[Arrival]
    ticks: list[Tick]


def metrics(options: argparse.Namespace) -> list[Metric]:
    """Backlog first. The share of CPU is of what a replica may use."""
    window = f"[{max(4, round(60 / options.speed / 2))}s]"
    backlog = f"avg_over_time(fitscore_backlog_seconds{window})"
    cpu = f"rate(process_cpu_seconds_total{window}) / {options.cores}"
    return [Metric("backlog", backlog, options.backlog_target), Metric("cpu", cpu, options.cpu_target)]


@asynccontextmanager
async def prometheus(folder: Path) -> AsyncIterator[Connections]:
    """Prometheus, which scrapes the targets of `targets.json` each second."""
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "fitscore", "file_sd_configs": [{"files": [str(folder / "targets.json")]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    port = free_port()
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
    try:
        if not await wait_until_ready(f"http://127.0.0.1:{port}", "/-/ready", process):
            raise RuntimeError("Prometheus did not start")
        async with Connections(f"http://127.0.0.1:{port}") as connections:
            yield connections
    finally:
        process.kill()
        process.wait()


async def values(asked: Connections, metric: Metric, fleet: Fleet) -> list[float]:
    """The metric of each ready replica that Prometheus knows."""
    answer = await asked.get("/api/v1/query?" + urllib.parse.urlencode({"query": metric.query}))
    series = json.loads(answer.body)["data"]["result"]
    found = {each["metric"]["instance"]: float(each["value"][1]) for each in series}
    return [found[each.instance] for each in fleet.ready if math.isfinite(found.get(each.instance, math.nan))]


def calls(deadline_ms: int) -> Iterator[Call]:
    """Short requests whose texts are new, so that each costs the model its time."""
    for turn in cycle(range(1_000_000)):
        for request in first(Mix(**{**asdict(MIX), "seed": turn}), 200):
            yield call(request, "score", deadline_ms)


async def capacity(fleet: Fleet, options: argparse.Namespace) -> float:
    """Requests a second of one replica that is never idle: four clients, after a third of the time to warm up."""
    requests, done = calls(60_000), 0
    warm = time.monotonic() + options.calibrate_s / 3
    end = warm + options.calibrate_s

    async def client() -> None:
        nonlocal done
        while (now := time.monotonic()) < end:
            answer = await fleet.call(next(requests))
            done += answer is not None and answer.status == 200 and now >= warm

    await asyncio.gather(*(client() for _ in range(4)))
    return done / float(options.calibrate_s)


async def play(fleet: Fleet, due: Sequence[float], deadline_ms: int) -> list[Arrival]:
    """Send each request when it is due, also while earlier ones have no answer."""
    found: list[Arrival] = []
    start, tasks = time.monotonic(), set[asyncio.Task[None]]()

    async def one(at: float, request: Call) -> None:
        answer = await fleet.call(request)
        late = time.monotonic() - start - at > deadline_ms / 1000
        scored = answer is not None and answer.status == 200 and not json.loads(answer.body)["degraded"]
        found.append(Arrival(at, scored and not late))

    for at, request in zip(due, calls(deadline_ms), strict=False):
        await asyncio.sleep(max(0.0, start + at - time.monotonic()))
        task = asyncio.create_task(one(at, request))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return found


async def scale(
    fleet: Fleet, asked: Connections, metric: Metric, options: argparse.Namespace, ticks: list[Tick]
) -> None:
    """Decide every `15 / speed` seconds until cancelled, and add each decision to `ticks`."""
    scaler = Autoscaler(Behaviour(most=options.most).faster(options.speed), metric.target)
    start = time.monotonic()
    while True:
        now = time.monotonic() - start
        found = await values(asked, metric, fleet)
        starting = len(fleet.replicas) - len(found)
        mean = sum(found) / len(found) if found else math.nan
        ticks.append(Tick(now, len(found), starting, mean))
        fleet.resize(scaler.decide(now, found, starting))
        await asyncio.sleep(15 / options.speed)


async def arm(metric: Metric, rate: float, phases: Sequence[Phase], options: argparse.Namespace, folder: Path) -> Arm:
    """One replica at first; then the curve, with the autoscaler beside it."""
    fleet = Fleet(kind_of(options), folder / "targets.json")
    try:
        fleet.resize(1)
        async with prometheus(folder) as asked:
            await fleet.settle()
            ticks: list[Tick] = []
            scaling = asyncio.create_task(scale(fleet, asked, metric, options, ticks))
            found = await play(fleet, arrivals(phases, rate, options.seed), options.deadline_ms)
            if scaling.done():
                scaling.result()  # raises what ended it
            scaling.cancel()
            await fleet.settle()
        return Arm(metric, found, ticks)
    finally:
        fleet.kill()


def kind_of(options: argparse.Namespace) -> Kind:
    settings = {"FITSCORE_DRAIN_DELAY_S": "0", "FITSCORE_PLAYGROUND": "off", "FITSCORE_HANG_S": "120"}
    return Kind(options.bundle, options.limit, options.cores, options.delay_ms, settings)


async def measure(options: argparse.Namespace) -> tuple[float, list[Arm]]:
    """One replica's capacity, and both arms."""
    phases = QUICK if options.quick else PHASES
    with tempfile.TemporaryDirectory() as name:
        fleet = Fleet(kind_of(options), Path(name) / "targets.json")
        try:
            fleet.resize(1)
            await fleet.settle()
            rate = await capacity(fleet, options)
        finally:
            fleet.kill()
        print(f"one replica answers {rate:.1f} requests/s", file=sys.stderr)
        arms = []
        for metric in metrics(options):
            folder = Path(name) / metric.name
            folder.mkdir()
            arms.append(await arm(metric, rate, phases, options, folder))
        return rate, arms


def summarised(one: Arm, phases: Sequence[Phase]) -> dict[str, object]:
    """A row: goodput of the whole run and of the step's second half, recovery, turns, cost."""
    step, end = phases[0].seconds, phases[0].seconds + phases[1].seconds
    shares = by_time(one.found, sum(phase.seconds for phase in phases), WIDTH_S)
    return {
        "scaled by": one.metric.name,
        "target": one.metric.target,
        "goodput": goodput(one.found, 0, math.inf),
        "goodput, second half of the step": goodput(one.found, (step + end) / 2, end),
        "recovery s": recovery_s(shares, WIDTH_S, step, end, ENOUGH),
        "most replicas": max(each.ready + each.starting for each in one.ticks),
        "turns": turns(one.ticks),
        "replica seconds": replica_seconds(one.ticks),
    }


def gates(rows: Sequence[dict[str, object]]) -> list[Figure]:
    """The loop on backlog holds the goodput without flapping, and the control holds less."""
    ours, control = (
        [float(str(row[name])) for name in ("goodput", "goodput, second half of the step")] for row in rows
    )
    return [
        at_least("goodput in the second half of the step", ours[1], ENOUGH),
        at_least("goodput above that of CPU share", ours[0] - control[0], 0.02),
        at_most("turns of the number of replicas", float(str(rows[0]["turns"])), 2),
    ]


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.autoscaling.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--bundle", type=Path, default=Path("models/jobs-v1"))
    parser.add_argument("--limit", choices=("delay", "quota"), default="delay", help="what limits a replica")
    parser.add_argument("--delay-ms", type=float, default=12.0, help="for each text or pair of a model run")
    parser.add_argument("--cores", type=float, default=0.25, help="of a replica: its quota, or what it requests")
    parser.add_argument("--deadline-ms", type=int, default=1000)
    parser.add_argument("--backlog-target", type=float, default=0.1, help="seconds: a tenth of the deadline")
    parser.add_argument("--cpu-target", type=float, default=0.7)
    parser.add_argument("--most", type=int, default=4, help="replicas")
    parser.add_argument("--speed", type=float, default=5.0, help="how much faster than the chart's times")
    parser.add_argument("--calibrate-s", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the dated file; not of a smoke test")
    parser.add_argument("--quick", action="store_true", help="a smoke test; its figures mean nothing")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 1 if a gate fails."""
    options = parse(argv)
    phases = QUICK if options.quick else PHASES
    rate, arms = asyncio.run(measure(options))
    rows = [summarised(each, phases) for each in arms]
    figures = gates(rows)
    text = f"{table(rows)}\n\n{table([each.row() for each in figures])}"
    print(text)
    end = sum(phase.seconds for phase in phases)
    curves = [
        {
            "name": each.metric.name,
            "ticks": [asdict(tick) for tick in each.ticks],
            "goodput": by_time(each.found, end, WIDTH_S),
        }
        for each in arms
    ]
    about = {
        "limit": options.limit,
        "capacity": rate,
        "phases": [asdict(phase) for phase in phases],
        "width_s": WIDTH_S,
    }
    line = json_line("autoscaling", {**about, "rows": rows, "curves": curves})
    print(line)
    if not options.quick or options.results != RESULTS:
        print(f"written to {record(options.results, line, text)}", file=sys.stderr)
    return 0 if options.quick or all(each.ok for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
