"""What the service costs beyond its model, in two figures, each with a gate.

Throughput: saturated `POST /score` over the bare `session.run` loop on the same graph and the very shapes
that the service ran, in turn (A B A B), the ratio taken in each round. Latency: what a single small request
takes beyond the model's own time. `--sabotage-ms` spoils the service on purpose: then both gates must fail.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from load_tests.client import Connections
from load_tests.open_loop import Limits, closed_loop, mix_of
from load_tests.report import Summary, json_line, quantile, summarise, table
from load_tests.server import DEADLINE_MS, SATURATED, free_port, running
from load_tests.traffic import first
from load_tests.wire import Call, call, server_timing
from models.bundle import Bundle

ROOT = Path(__file__).resolve().parents[1]
RATIO_WANTED, ADDED_P50_WANTED_MS = 0.90, 1.5


@dataclass(frozen=True, slots=True)
class Shape:
    """What one model run took."""

    pairs: int
    longest: int


@dataclass(frozen=True, slots=True)
class Round:
    """One A and its B; `busy` is the share of A in which the model ran."""

    service: float
    bare: float
    busy: float
    batches: int
    mean_pairs: float

    @property
    def ratio(self) -> float:
        return self.service / self.bare


@dataclass(frozen=True, slots=True)
class Added:
    """Milliseconds beyond the model, one per request: as the server says, by stage too, and as the client sees it."""

    server_ms: tuple[float, ...]
    client_ms: tuple[float, ...]
    stages_ms: Mapping[str, Sequence[float]]


class RunLog:
    """What `recorded_service` wrote: sessions and runs, in order."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def _lines(self) -> list[dict[str, float]]:
        text = self._file.read_text(encoding="ascii")
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def threads(self) -> int:
        """Of the session opened last."""
        return int([line["threads"] for line in self._lines() if "threads" in line][-1])

    def runs(self, start: float, end: float) -> list[dict[str, float]]:
        """Those that began between two readings of the monotonic clock."""
        return [line for line in self._lines() if start <= line.get("start", -1) < end]


class BareLoop:
    """`session.run` and nothing else, on the service's graph with the service's threads."""

    def __init__(self, graph: bytes, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # As in the service; threads that spin on would also disturb the service's turn.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def pairs_per_s(self, shapes: Sequence[Shape]) -> float:
        """All shapes once, in order; the arrays are made before the clock starts."""
        feeds = [self._feeds(shape) for shape in shapes]
        self._session.run(None, feeds[0])
        start = time.perf_counter()
        for one in feeds:
            self._session.run(None, one)
        return sum(shape.pairs for shape in shapes) / (time.perf_counter() - start)

    def _feeds(self, shape: Shape) -> dict[str, np.ndarray]:
        size = (shape.pairs, shape.longest)
        # Any ids will do: what a run costs depends on its shape alone. Every vocabulary has 1000 of them.
        ids = np.random.default_rng(0).integers(0, 1000, size, dtype=np.int64)
        every = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        return {each.name: every[each.name] for each in self._session.get_inputs()}


async def one_round(url: str, calls: Sequence[Call], log: RunLog, bare: BareLoop, options: argparse.Namespace) -> Round:
    """A: the service under `--clients`; B: the bare loop over the shapes that A ran."""
    began = time.monotonic()
    end = options.warm_seconds + options.seconds
    samples = await closed_loop(url, calls, options.clients, end, Limits(timeout_s=DEADLINE_MS / 1000))
    summary: Summary = summarise(samples, start=options.warm_seconds, end=end)
    if set(summary.outcomes) != {"200"}:
        raise RuntimeError(f"a saturated service must still answer 200, not {dict(summary.outcomes)}")
    runs = log.runs(began + options.warm_seconds, began + end)
    shapes = [Shape(int(run["pairs"]), int(run["longest"])) for run in runs]
    num_pairs = sum(shape.pairs for shape in shapes)
    busy = sum(run["seconds"] for run in runs) / options.seconds
    return Round(summary.pairs_per_s, bare.pairs_per_s(shapes), busy, len(runs), num_pairs / len(runs))


async def added_time(url: str, calls: Sequence[Call]) -> Added:
    """One request after another on one connection; the first tenth is not counted."""
    server: list[float] = []
    client: list[float] = []
    by_stage: dict[str, list[float]] = defaultdict(list)
    async with Connections(url) as connections:
        for request in calls:
            start = time.perf_counter()
            answer = await connections.post(request.path, request.body)
            wall_ms = 1000 * (time.perf_counter() - start)
            stages = server_timing(answer.headers.get("server-timing", ""))
            if answer.status != 200 or "model" not in stages:
                raise RuntimeError(f"answered {answer.status}, Server-Timing {sorted(stages)}: needs 200 and `model`")
            model_ms = stages.pop("model")
            total_ms = stages.pop("total", model_ms + sum(stages.values()))
            server.append(total_ms - model_ms)
            client.append(wall_ms - model_ms)
            for stage, spent_ms in stages.items():
                by_stage[stage].append(spent_ms)
    cut = len(calls) // 10
    return Added(tuple(server[cut:]), tuple(client[cut:]), {name: each[cut:] for name, each in by_stage.items()})


async def measure(options: argparse.Namespace) -> tuple[list[Round], Added]:
    """Start the service, measure both figures, stop it."""
    bundle = Bundle.load(options.bundle)
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "runs.jsonl"
        command = [sys.executable, "-m", "load_tests.recorded_service", "--log", str(file)]
        command += ["--delay-ms", str(options.sabotage_ms)]
        settings = {
            "FITSCORE_BUNDLE": str(options.bundle),
            "FITSCORE_PORT": str(port),
            "FITSCORE_DEVICE": "cpu",
        }
        async with running(command, port, "/readyz", environment=settings | SATURATED) as url:
            small = [call(ask) for ask in first(mix_of([options.small], options.seed + 1), options.singles)]
            added = await added_time(url, small)
            log = RunLog(file)
            bare = BareLoop(bundle.contents[bundle.graph_for("cpu").file], log.threads())
            lists = first(mix_of(options.sizes, options.seed), 400)
            calls = [call(ask, "score", DEADLINE_MS) for ask in lists]
            rounds = [await one_round(url, calls, log, bare, options) for _ in range(options.rounds)]
    return rounds, added


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "jobs-v1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each round's A; B takes about as long")
    parser.add_argument("--warm-seconds", type=float, default=3.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--sizes", type=int, nargs="+", help="candidates a request, equally often; default: the mix")
    parser.add_argument("--singles", type=int, default=300, help="requests for the second figure, one after another")
    parser.add_argument("--small", type=int, default=1, help="candidates of each of them")
    parser.add_argument(
        "--sabotage-ms", type=float, default=0.0, help="delay each batch and each encoding: gates must fail"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 when a figure is not reached."""
    options = parse(argv)
    rounds, added = asyncio.run(measure(options))
    figures = figures_of(rounds, added)
    details = [detail(number + 1, one) for number, one in enumerate(rounds)]
    reached = all(bool(figure["ok"]) for figure in figures)
    print(table(details), table(figures), sep="\n\n")
    result = {"reached": reached, "figures": figures, "rounds": details}
    print(json_line("bench", {**result, "sabotage_ms": options.sabotage_ms, "bundle": options.bundle.name}))
    return 0 if reached else 1


def figures_of(rounds: Sequence[Round], added: Added) -> list[dict[str, object]]:
    """What was found beside what is wanted."""
    ratio = statistics.median(one.ratio for one in rounds)
    rows = [_figure("service / bare loop, pairs/s", ratio, f">= {RATIO_WANTED}", ratio >= RATIO_WANTED)]
    for side, times in (("server", added.server_ms), ("client", added.client_ms)):
        p50, p99 = quantile(times, 0.5), quantile(times, 0.99)
        name = f"added to a small request, ms, {side}"
        rows.append(_figure(f"{name}, p50", p50, f"<= {ADDED_P50_WANTED_MS}", p50 <= ADDED_P50_WANTED_MS))
        rows.append(_figure(f"{name}, p99", p99, "-", True))
    for stage, spent in added.stages_ms.items():
        rows.append(_figure(f"of which {stage}, ms, p50", quantile(spent, 0.5), "-", True))
    return rows


def _figure(name: str, value: float, wanted: str, ok: bool) -> dict[str, object]:
    return {"figure": name, "value": round(value, 4), "wanted": wanted, "ok": ok}


def detail(number: int, one: Round) -> dict[str, object]:
    """A round as a row of a table."""
    return {
        "round": number,
        "service pairs/s": round(one.service, 2),
        "bare pairs/s": round(one.bare, 2),
        "ratio": round(one.ratio, 4),
        "model busy": round(one.busy, 4),
        "batches": one.batches,
        "pairs a batch": round(one.mean_pairs, 2),
    }


if __name__ == "__main__":
    sys.exit(main())
