"""The words of the command line that are about a product made from files: `new`, `check`, `status` and `pool`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from training.dag import status as steps_of
from training.data.source_files import SourceFiles
from training.product.budget import measured_speed
from training.product.check.findings import counted
from training.product.check.run import PAGE, check_product
from training.product.new import Order, new_product
from training.product.pool import POOL, write_pool
from training.product.run import product_run
from training.product.start import start_encoder

PROGRAM = "python -m training"


def new(arguments: Sequence[str]) -> int:
    """`new NAME ...`: write the product's folder, and say what was assumed."""
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} new", description="Make the folder of a product from its files: CSV, JSON lines or Parquet."
    )
    parser.add_argument("name", type=Path, metavar="NAME", help="the folder to make; its last part names the product")
    parser.add_argument("--pairs", type=Path, help="graded pairs: member, candidate, grade 0..4")
    parser.add_argument("--log", type=Path, help="what members saw and did: list_id, position, action")
    parser.add_argument("--candidates", type=Path, help="a catalogue: candidates that the teacher may label")
    parser.add_argument("--policy", type=Path, help="the policy document (default: a template is written)")
    parser.add_argument(
        "--map", type=_mapping, action="append", default=[], metavar="THEIRS=OURS", help="use a column of another name"
    )
    parser.add_argument(
        "--hours", type=_hours, default=1.0, help="time budget that the schedules follow from (default: 1)"
    )
    parser.add_argument(
        "--encoder", type=Path, help="a bundle or a model's folder to start from (default: a shipped bundle)"
    )
    options = parser.parse_args(arguments)
    order = Order(
        folder=options.name,
        policy=options.policy,
        pairs=options.pairs,
        log=options.log,
        candidates=options.candidates,
        columns=dict(options.map),
        hours=options.hours,
        encoder=options.encoder,
    )
    for sentence in new_product(order, speed_of):
        say(f"assumed: {sentence}")
    say(f"made {options.name}: read {options.name}/product.toml, then run `{PROGRAM} check {options.name}`")
    return 0


def speed_of(encoder: Path) -> float:
    """Tokens a second that this machine learns from with the encoder of this bundle or folder."""
    with tempfile.TemporaryDirectory() as scratch:
        return measured_speed(start_encoder(str(encoder.resolve()), SourceFiles(Path()), Path(scratch) / "encoder"))


def _mapping(text: str) -> tuple[str, str]:
    theirs, is_pair, ours = text.partition("=")
    if not (is_pair and theirs and ours):
        raise argparse.ArgumentTypeError("THEIRS=OURS, such as query=member")
    return theirs, ours


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours < 1000:
        raise argparse.ArgumentTypeError("a number of hours above 0")
    return hours


def check(arguments: Sequence[str]) -> int:
    """`check NAME`: errors, warnings and a page. 1 where there is an error."""
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} check", description="Check a product's data before training.")
    parser.add_argument("name", type=Path, metavar="NAME", help="a product's folder")
    folder: Path = parser.parse_args(arguments).name
    report = check_product(folder)
    for each in report.findings:
        if each.level != "fact":
            say(f"{each.level}: {each.check}: {each.sentence}")
    errors, warnings = (len(report.of(level)) for level in ("error", "warning"))
    say(f"{counted(errors, 'error')}, {counted(warnings, 'warning')}; figures are in {folder / PAGE}")
    return 1 if errors else 0


def say(line: str) -> None:
    """A line for the person at the terminal."""
    sys.stdout.write(f"{line}\n")


def status(arguments: Sequence[str]) -> int:
    """`status NAME`: which steps would run again, and why."""
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} status", description="Say which steps would run again, and why.")
    parser.add_argument("name", type=Path, metavar="NAME", help="a product's folder")
    run = product_run(parser.parse_args(arguments).name)
    for name, reasons, before in steps_of(run):
        if reasons:
            say(f"{name}: runs: {'; '.join(reasons)}")
        elif before:
            say(f"{name}: runs if the output of {', '.join(before)} changes")
        else:
            say(f"{name}: done")
    return 0


def pool(arguments: Sequence[str]) -> int:
    """`pool NAME`: pairs of the catalogue for `judge NAME --pool`."""
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} pool", description="Pair training members with the catalogue.")
    parser.add_argument("name", type=Path, metavar="NAME", help="a product's folder")
    parser.add_argument("--pairs", type=int, default=5000, help="at most so many pairs (default: 5000)")
    options = parser.parse_args(arguments)
    count = write_pool(options.name, options.pairs)
    file = options.name / POOL
    say(f"{count} pairs in {file}: label them with `{PROGRAM} judge {options.name} --pool {file} --judge-model MODEL`")
    say("and --judge-url URL, or --batch for request files: without an endpoint or batch files no pair gets a grade")
    return 0


WORDS: dict[str, Callable[[Sequence[str]], int]] = {"new": new, "check": check, "status": status, "pool": pool}
"""Words that take arguments of their own."""
