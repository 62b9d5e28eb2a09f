"""`score BUNDLE PAIRS OUT`: the words of the command line that scores a file of pairs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from models.bulk.executors import LOCAL, RayExecutor
from models.bulk.run import Order, score_file

PROGRAM = "python -m models score"


def score(arguments: Sequence[str]) -> str:
    """Score a file and say what was done. Raises what `score_file` raises."""
    options = _options(arguments)
    order = Order(
        bundle=options.bundle,
        pairs=options.pairs,
        out=options.out,
        columns=dict(options.map),
        blend=dict(options.blend) or None,
        device=options.device,
        threads=options.threads,
        batch=options.batch,
    )
    ray = options.engine == "ray"
    done = score_file(order, RayExecutor(options.ray_address, options.threads, options.gpus) if ray else LOCAL)
    earlier = f", {done.resumed} of them by an earlier run" if done.resumed else ""
    return (
        f"{done.pairs} pairs{earlier}; {done.scored} have a score; {done.encoded} candidates were encoded: {order.out}"
    )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Score a file of pairs (CSV, JSON lines or Parquet) without the service. The same command goes on"
        " with a run that was stopped.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a bundle's folder")
    parser.add_argument(
        "pairs",
        type=Path,
        metavar="PAIRS",
        help="member or member.FIELD, candidate or candidate.FIELD, and member_id, candidate_id or any other column",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the file to write: .csv, .tsv, .jsonl or .parquet")
    parser.add_argument(
        "--map", type=_mapping, action="append", default=[], metavar="THEIRS=OURS", help="use a column of another name"
    )
    parser.add_argument(
        "--blend",
        type=_weight,
        action="append",
        default=[],
        metavar="HEAD=WEIGHT",
        help="weigh the heads so (default: as the bundle does)",
    )
    parser.add_argument("--device", choices=["cpu", "cuda", "auto"], default="cpu")
    parser.add_argument("--threads", type=_positive, default=1, help="of one worker (default: 1)")
    parser.add_argument(
        "--batch", type=_positive, help="texts that are encoded together (default: 1 on a CPU, which keeps every bit)"
    )
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help="where the model runs")
    parser.add_argument("--ray-address", metavar="HOST:PORT", help="the cluster's head (default: this machine)")
    parser.add_argument("--gpus", type=float, default=0, help="of one Ray worker (default: 0)")
    options = parser.parse_args(arguments)
    if options.engine != "ray" and (options.ray_address or options.gpus):
        parser.error("--ray-address and --gpus go with --engine ray")
    return options


def _mapping(text: str) -> tuple[str, str]:
    theirs, is_pair, ours = text.partition("=")
    if not (is_pair and theirs and ours):
        raise argparse.ArgumentTypeError("THEIRS=OURS, such as query=member")
    return theirs, ours


def _weight(text: str) -> tuple[str, float]:
    head, _, weight = text.rpartition("=")
    try:
        return head, float(weight)
    except ValueError:
        raise argparse.ArgumentTypeError("HEAD=WEIGHT, such as relevance=0.7") from None


def _positive(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError("a whole number above 0")
    return int(text)
