"""The whole comparison on one device, without a service: flat against split model, plain runs against buckets, CUDA
graphs and TensorRT. Pairs per second at saturation, and the time of one member against `--candidates`.

It needs what `models/` needs and no more, so that it runs on a bare GPU machine (`bench_gpu.sh`). Every way must say
what the plain one says, within the tolerance that the graphs state, or the command fails: a fast wrong replay is no
figure.
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
    """What is scored: `members` at once at saturation, one for the latency; each against the same candidates."""

    members: tuple[str, ...]
    candidates: tuple[str, ...]

    @classmethod
    def of(cls, options: argparse.Namespace) -> Workload:
        """Random words, so many a text; the encoder cuts what is longer than the model reads."""
        random = np.random.default_rng(0)

        def text(num_words: int) -> str:
            return " ".join(random.choice(WORDS, num_words))

        members = tuple(text(options.member_words) for _ in range(options.members))
        return cls(members, tuple(text(options.candidate_words) for _ in range(options.candidates)))


def flat_requests(bundle: Bundle, scorer: CrossEncoderScorer, work: Workload) -> Callable[[int], Scores]:
    """Score so many members against all candidates, every pair read whole."""
    encoder = open_encoder(bundle)
    members, candidates = [encoder.member(each) for each in work.members], encoder.candidates(work.candidates)

    def run(num_members: int) -> Scores:
        return scorer.score([Pair(member, each) for member in members[:num_members] for each in candidates])

    return run


def split_requests(bundle: Bundle, scorer: SplitScorer, work: Workload) -> Callable[[int], Scores]:
    """Score so many members against all candidates: members are encoded, candidates were before."""
    encoder = open_encoder(bundle)
    members = [encoder.member(each) for each in work.members]
    slots = scorer.encode_candidates(encoder.candidates(work.candidates))

    def run(num_members: int) -> Scores:
        states = scorer.encode_members(members[:num_members])
        return np.concatenate(scorer.score_blocks([Block(state, slots) for state in states]))

    return run


def measure(run: Callable[[int], Scores], work: Workload, seconds: float) -> Outcome:
    """Saturated for so many seconds, then requests of one member, one after another, for as long."""
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
    """The last answer and the seconds of each run; at least three."""
    spent: list[float] = []
    while len(spent) < 3 or sum(spent) < seconds:
        start = time.perf_counter()
        answer = run()
        spent.append(time.perf_counter() - start)
    return answer, spent


def compare(path: Path, work: Workload, options: argparse.Namespace) -> list[Outcome]:
    """Every way of running one bundle, a row each; a way that this machine does not have says why."""
    bundle = Bundle.load(path)
    tolerance = max(graph.tolerance for graph in graphs_for(bundle, options.device).values())
    rows: list[Outcome] = []
    plain: Scores | None = None
    for run_mode in options.run_modes:
        row: Outcome = {
            "model": f"{bundle.manifest.name} {bundle.manifest.version}, {bundle.manifest.kind}",
            "way": run_mode,
        }
        try:
            answer, found = one_run_mode(bundle, run_mode, work, options)
        except Exception as error:  # whatever one way makes the runtime raise, the other figures are kept
            if run_mode == "plain":
                raise
            # A GPU that has plain runs has no excuse for the others but a TensorRT that is not installed.
            absent = isinstance(error, DeviceError) and (options.device == "cpu" or run_mode == "tensorrt")
            row |= {"why not": _reason(error), "ok": absent}
            rows.append(_told(row))
            continue
        plain = answer if plain is None else plain
        off = float(np.abs(answer - plain).max())
        rows.append(_told({**row, **found, "off by": off, "ok": bool(off <= tolerance)}))
    return rows


def _told(row: Outcome) -> Outcome:
    """Say it at once: on a borrowed machine the rest may never come."""
    print(row, file=sys.stderr, flush=True)
    return row


def _reason(error: Exception) -> str:
    """With what onnxruntime itself said of it."""
    sentence = " ".join(f"{error}: {error.__cause__}".split() if error.__cause__ else str(error).split())
    return f"{type(error).__name__}: {sentence[:400]}"


def one_run_mode(
    bundle: Bundle, run_mode: RunMode, work: Workload, options: argparse.Namespace
) -> tuple[Scores, Outcome]:
    """Scores of all members, and the figures."""
    start = time.perf_counter()
    scorer = open_scorer(
        bundle, options.device, options.threads, run_mode=run_mode, max_pairs=options.max_pairs, engines=options.engines
    )
    scorer.warm_up()
    ready = time.perf_counter() - start
    requests = split_requests if isinstance(scorer, SplitScorer) else flat_requests
    run = requests(bundle, scorer, work)  # type: ignore[arg-type]  # each kind has its own
    return run(len(work.members)), {"ready, s": ready, **measure(run, work, options.seconds)}


COLUMNS = ("model", "way", "pairs/s", "x plain", "1 member p50, ms", "p99, ms", "ready, s", "off by", "ok")


def summary(rows: Sequence[Outcome]) -> str:
    """The table, and what did not run below it."""
    plain = {row["model"]: row.get("pairs/s") for row in rows if row["way"] == "plain"}
    ran = [row for row in rows if "why not" not in row]
    for row in ran:
        base = plain.get(row["model"])
        row["x plain"] = _number(row["pairs/s"]) / _number(base) if base else float("nan")
    missing = [f"Not run: {row['model']}, {row['way']}: {row['why not']}" for row in rows if "why not" in row]
    return "\n\n".join([table([{name: _exact(name, row[name]) for name in COLUMNS} for row in ran]), *missing])


def _number(value: object) -> float:
    assert isinstance(value, float)
    return value


def _exact(name: str, value: object) -> object:
    return f"{value:.1e}" if name == "off by" else value


def load_torch() -> None:
    """Where torch is, it brings the CUDA libraries that onnxruntime needs; it must come first."""
    if importlib.util.find_spec("torch"):
        importlib.import_module("torch")


def device_name(device: str) -> str:
    """What the driver calls the first GPU, with its own version."""
    if device == "cpu":
        return device
    ask = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.partition("\n")[0]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.bench_gpu", description=__doc__)
    parser.add_argument("bundles", type=Path, nargs="+", help="flat and split models, in the table's order")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda", help="cuda fails where there is none")
    parser.add_argument("--run-modes", nargs="+", choices=get_args(RunMode), default=["plain", "bound", "graphs"])
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--members", type=int, default=4, help="scored at once at saturation")
    parser.add_argument("--candidates", type=int, default=250, help="of each member")
    parser.add_argument("--max-pairs", type=int, default=1024, help="of the largest bucket; a larger batch is cut")
    parser.add_argument("--member-words", type=int, default=120)
    parser.add_argument("--candidate-words", type=int, default=90)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each of the two measurements")
    parser.add_argument("--engines", type=Path, default=Path("engines"), help="where TensorRT keeps what it builds")
    parser.add_argument("--out", type=Path, help="also write the table and the JSON line there")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 when a way does not say what the plain one says."""
    options = parse(argv)
    if options.device == "cuda":
        load_torch()
    work = Workload.of(options)
    rows = [row for path in options.bundles for row in compare(path, work, options)]
    said = {"device": device_name(options.device), "onnxruntime": ort.__version__, "rows": rows}
    text = f"{summary(rows)}\n\n{json_line('bench_gpu', said)}\n"
    print(text, end="")
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
