"""Capacity of the service and its overhead beside the model, with gates.

throughput: saturated `POST /score`, relative to a bare `session.run` loop over the same runs.
overhead: the time of a small request outside the model.
lists: 1 member x 250 warm candidates, one client alone and at half of the capacity.
With `--flat-teacher`: warm lists, relative to the same service with the flat teacher's bundle.

Compared servers are measured in turn (A B A B), with one ratio a round. `--sabotage-ms` delays the service: then every
gate on it must fail.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from load_tests import flat_teacher, overhead, throughput, warm_lists
from load_tests.bare_onnx_baseline import BareLoop, RunLog
from load_tests.open_loop import mix_of
from load_tests.payloads import call
from load_tests.report import Figure, json_line, table
from load_tests.server import DEADLINE_MS, SATURATED, free_port, running
from load_tests.throughput import Load
from load_tests.traffic import first
from load_tests.warm_lists import WarmTraffic
from models.bundle.files import Bundle

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ("throughput", "overhead", "lists")
NUM_LISTS = 400


@dataclass
class Found:
    """All figures, and the rounds behind some of them."""

    figures: list[Figure] = field(default_factory=list)
    rounds: list[dict[str, object]] = field(default_factory=list)
    teacher_rounds: list[dict[str, object]] = field(default_factory=list)


async def measure(options: argparse.Namespace) -> Found:
    """Start the service, measure the requested figures, stop it."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "runs.jsonl"
        command = [sys.executable, "-m", "load_tests.recorded_service", "--log", str(log)]
        command += ["--delay-ms", str(options.sabotage_ms)]
        settings = {
            "FITSCORE_BUNDLE": str(options.bundle),
            "FITSCORE_PORT": str(port),
            "FITSCORE_DEVICE": "cpu",
            **SATURATED,
        }
        async with running(command, port, "/readyz", environment=settings) as url:
            return await _measure(url, RunLog(log), options)


async def _measure(url: str, log: RunLog, options: argparse.Namespace) -> Found:
    found = Found()
    load = Load(options.clients, options.warm_seconds, options.seconds)
    traffic = WarmTraffic(options.fixed, mix_of([options.size], options.seed), options.by_id)
    if "overhead" in options.only:
        small = [call(request) for request in first(mix_of([options.small], options.seed + 1), options.singles)]
        found.figures += overhead.figures(await overhead.measure_overhead(url, small))
    if "throughput" in options.only:
        bare = BareLoop(Bundle.load(options.bundle), log.threads())
        lists = first(mix_of(options.sizes, options.seed), NUM_LISTS)
        calls = [call(each, "score", DEADLINE_MS) for each in lists]
        rounds = [await throughput.one_round(url, calls, log, bare, load) for _ in range(options.rounds)]
        found.rounds = [one.row(number + 1) for number, one in enumerate(rounds)]
        found.figures += throughput.figures(rounds)
    if "lists" in options.only:
        found.figures += warm_lists.figures(await warm_lists.measure_lists(url, traffic, load), options.size)
    if options.flat_teacher:
        teacher_load = Load(options.teacher_clients, options.teacher_warm_seconds, options.teacher_seconds)
        turns = await _against_teacher(url, traffic, load, teacher_load, options)
        found.teacher_rounds = [asdict(one) | {"ratio": one.ratio} for one in turns]
        found.figures += flat_teacher.figures(turns)
    return found


async def _against_teacher(
    url: str, traffic: WarmTraffic, load: Load, teacher_load: Load, options: argparse.Namespace
) -> list[flat_teacher.Turns]:
    await warm_lists.warm(url, traffic)
    async with flat_teacher.teacher_service(options.flat_teacher) as teacher:
        await warm_lists.store_candidates(teacher, traffic)
        # Part numbers that the figure on lists does not use: the service may still cache its members.
        numbers = range(10, 10 + options.rounds)
        return [await flat_teacher.turns(url, teacher, traffic, load, teacher_load, number) for number in numbers]


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "jobs-v1")
    parser.add_argument("--only", nargs="*", choices=FIGURES, default=FIGURES, help="default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement; B takes about as long as A")
    parser.add_argument("--warm-seconds", type=float, default=3.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--sizes", type=int, nargs="+", help="list sizes, equally often; default: the mix")
    parser.add_argument("--singles", type=int, default=300, help="sequential requests for `overhead`")
    parser.add_argument("--small", type=int, default=1, help="candidates of each such request")
    parser.add_argument("--size", type=int, default=250, help="candidates of a warm list")
    parser.add_argument("--fixed", type=int, default=2000, help="candidates that warm lists are drawn from")
    parser.add_argument("--by-id", action="store_true", help="warm lists hold ids of stored candidates")
    parser.add_argument("--flat-teacher", type=Path, help="the teacher's bundle: see load_tests/teacher_bundle.py")
    parser.add_argument("--teacher-seconds", type=float, default=40.0, help="of the teacher's turn in each round")
    parser.add_argument("--teacher-warm-seconds", type=float, default=5.0)
    parser.add_argument("--teacher-clients", type=int, default=1, help="one keeps the teacher busy: lists are long")
    parser.add_argument(
        "--sabotage-ms", type=float, default=0.0, help="delay of each batch and each encoding: gates must fail"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 1 when a figure misses its target."""
    options = parse(argv)
    found = asyncio.run(measure(options))
    rows = [figure.row() for figure in found.figures]
    met = all(figure.ok for figure in found.figures)
    for part in (found.rounds, found.teacher_rounds, rows):
        if part:
            print(table(part), end="\n\n")
    result = {
        "met": met,
        "figures": rows,
        "rounds": found.rounds,
        "teacher_rounds": found.teacher_rounds,
        "sabotage_ms": options.sabotage_ms,
        "bundle": options.bundle.name,
    }
    print(json_line("bench", result))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
