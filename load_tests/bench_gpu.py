"""Compares models and run modes on one device, without a service: cross-encoder and split model; plain runs, buckets,
CUDA graphs and TensorRT. Measures pairs/s at saturation, and the latency of one member against `--candidates`.

Needs only the dependencies of `models/`, so that it runs on a bare GPU machine (`bench_gpu.sh`). The command fails
unless every run mode gives the plain mode's scores within the graphs' tolerance: a fast but wrong replay is worthless.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from load_tests.report import json_line, quantile, table
from models.bundle.files import Bundle
from models.errors import DeviceError
from models.loading import graphs_for, open_encoder, open_scorer
from models.runtime.providers import RunMode
from models.scorers.cross_encoder import CrossEncoderScorer
from models.scorers.split import Block, SplitScorer
from models.text import Pair

WORDS = "data engineer builds streaming pipelines nurse ward care chef bakes bread sells plans teaches".split()
Scores = NDArray[np.float32]
Outcome = dict[str, object]


@dataclass(frozen=True)
class Workload:
    """`members` are scored at once at saturation, one alone for latency; each against the same candidates."""

    members: tuple[str, ...]
    candidates: tuple[str, ...]

    @classmethod
    def of(cls, options: argparse.Namespace) -> Workload:
        """Texts of random words; the encoder truncates long ones."""
        random = np.random.default_rng(0)

        def text(num_words: int) -> str:
            return " ".join(random.choice(WORDS, num_words))

        members = tuple(text(options.member_words) for _ in range(options.members))
        return cls(members, tuple(text(options.candidate_words) for _ in range(options.candidates)))


def flat_requests(bundle: Bundle, scorer: CrossEncoderScorer, work: Workload) -> Callable[[int], Scores]:
    """Scores the first members against all candidates, pair by pair."""
    encoder = open_encoder(bundle)
    members, candidates = [encoder.member(each) for each in work.members], encoder.candidates(work.candidates)

    def run(num_members: int) -> Scores:
        return scorer.score([Pair(member, each) for member in members[:num_members] for each in candidates])

    return run


def split_requests(bundle: Bundle, scorer: SplitScorer, work: Workload) -> Callable[[int], Scores]:
    """Scores the first members against all candidates. Members are encoded each time, candidates only once."""
    encoder = open_encoder(bundle)
    members = [encoder.member(each) for each in work.members]
    slots = scorer.encode_candidates(encoder.candidates(work.candidates))

    def run(num_members: int) -> Scores:
        states = scorer.encode_members(members[:num_members])
        return np.concatenate(scorer.score_blocks([Block(state, slots) for state in states]))

    return run


def measure(run: Callable[[int], Scores], work: Workload, seconds: float) -> Outcome:
    """Saturated for `seconds`, then sequential requests of one member for as long."""
    run(len(work.members))
    _, rounds = _repeat(lambda: run(len(work.members)), seconds)
    run(1)
    _, singles = _repeat(lambda: run(1), seconds)
    num_pairs = len(work.members) * len(work.candidates) * len(rounds)
    return {
        "pairs/s": num_pairs / sum(rounds),
        "1 member p50, ms": 1000 * quantile(singles, 0.5),
        "p99, ms": 1000 * quantile(singles, 0.99),
        "requests": len(singles),
    }


def _repeat(run: Callable[[], Scores], seconds: float) -> tuple[Scores, list[float]]:
    """The last answer, and the seconds of each of at least three runs."""
    spent: list[float] = []
    while len(spent) < 3 or sum(spent) < seconds:
        start = time.perf_counter()
        answer = run()
        spent.append(time.perf_counter() - start)
    return answer, spent


def compare(path: Path, work: Workload, options: argparse.Namespace) -> list[Outcome]:
    """One row for each run mode of one bundle; an unavailable mode states why."""
    bundle = Bundle.load(path)
    tolerance = max(graph.tolerance for graph in graphs_for(bundle, options.device).values())
    rows: list[Outcome] = []
    plain: Scores | None = None
    for run_mode in options.run_modes:
        row: Outcome = {
            "model": f"{bundle.manifest.name} {bundle.manifest.version}, {bundle.manifest.kind}",
            "mode": run_mode,
        }
        try:
            answer, found = measure_mode(bundle, run_mode, work, options)
        except Exception as error:  # onnxruntime's exceptions share no base class; the other rows are kept
            if run_mode == "plain":
                raise
            # On a GPU only TensorRT may be missing.
            absent = isinstance(error, DeviceError) and (options.device == "cpu" or run_mode == "tensorrt")
            row |= {"error": _reason(error), "ok": absent}
            rows.append(_printed(row))
            continue
        plain = answer if plain is None else plain
        off = float(np.abs(answer - plain).max())
        rows.append(_printed({**row, **found, "difference": off, "ok": bool(off <= tolerance)}))
    return rows


def _printed(row: Outcome) -> Outcome:
    """Print a row at once, in case the run is cut off."""
    print(row, file=sys.stderr, flush=True)
    return row


def _reason(error: Exception) -> str:
    """The error with onnxruntime's own message."""
    sentence = " ".join(f"{error}: {error.__cause__}".split() if error.__cause__ else str(error).split())
    return f"{type(error).__name__}: {sentence[:400]}"


def measure_mode(
    bundle: Bundle, run_mode: RunMode, work: Workload, options: argparse.Namespace
) -> tuple[Scores, Outcome]:
    """Scores of all members, and the measurements."""
    start = time.perf_counter()
    scorer = open_scorer(
        bundle, options.device, options.threads, run_mode=run_mode, max_pairs=options.max_pairs, engines=options.engines
    )
    scorer.warm_up()
    ready = time.perf_counter() - start
    requests = split_requests if isinstance(scorer, SplitScorer) else flat_requests
    run = requests(bundle, scorer, work)  # type: ignore[arg-type]  # each kind has its own
    return run(len(work.members)), {"ready, s": ready, **measure(run, work, options.seconds)}


COLUMNS = ("model", "mode", "pairs/s", "x plain", "1 member p50, ms", "p99, ms", "ready, s", "difference", "ok")


def summary(rows: Sequence[Outcome]) -> str:
    """The table, and below it the modes that did not run."""
    plain = {row["model"]: row.get("pairs/s") for row in rows if row["mode"] == "plain"}
    ran = [row for row in rows if "error" not in row]
    for row in ran:
        base = plain.get(row["model"])
        row["x plain"] = _number(row["pairs/s"]) / _number(base) if base else float("nan")
    missing = [f"Not run: {row['model']}, {row['mode']}: {row['error']}" for row in rows if "error" in row]
    return "\n\n".join([table([{name: _exact(name, row[name]) for name in COLUMNS} for row in ran]), *missing])


def _number(value: object) -> float:
    assert isinstance(value, float)
    return value


def _exact(name: str, value: object) -> object:
    return f"{value:.1e}" if name == "difference" else value


def load_torch() -> None:
    """Import torch, if installed, before onnxruntime: it loads the CUDA libraries."""
    if importlib.util.find_spec("torch"):
        importlib.import_module("torch")


def device_name(device: str) -> str:
    """Name of the first GPU, and the driver's version."""
    if device == "cpu":
        return device
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.partition("\n")[0]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.bench_gpu", description=__doc__)
    parser.add_argument("bundles", type=Path, nargs="+", help="cross-encoders and split models, in the table's order")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda", help="cuda fails without a GPU")
    parser.add_argument("--run-modes", nargs="+", choices=get_args(RunMode), default=["plain", "bound", "graphs"])
    parser.add_argument("--threads", type=int, default=1, help="threads of the CPU")
    parser.add_argument("--members", type=int, default=4, help="scored at once at saturation")
    parser.add_argument("--candidates", type=int, default=250, help="candidates of each member")
    parser.add_argument("--max-pairs", type=int, default=1024, help="pairs of the largest bucket")
    parser.add_argument("--member-words", type=int, default=120)
    parser.add_argument("--candidate-words", type=int, default=90)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each of the two measurements")
    parser.add_argument("--engines", type=Path, default=Path("engines"), help="folder of TensorRT's engines")
    parser.add_argument("--out", type=Path, help="also write the table and the JSON line to this file")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 1 when a run mode differs from the plain mode, or fails."""
    options = parse(argv)
    if options.device == "cuda":
        load_torch()
    work = Workload.of(options)
    rows = [row for path in options.bundles for row in compare(path, work, options)]
    result = {"device": device_name(options.device), "onnxruntime": ort.__version__, "rows": rows}
    text = f"{summary(rows)}\n\n{json_line('bench_gpu', result)}\n"
    print(text, end="")
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
