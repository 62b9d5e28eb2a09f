"""The words of the command line that are about a product made from files: `new`, `check` and `status`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from training.data.source_files import SourceFiles
from training.product.budget import measured_speed
from training.product.new import Order, new_product
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


def say(line: str) -> None:
    """A line for the person at the terminal."""
    sys.stdout.write(f"{line}\n")


WORDS: dict[str, Callable[[Sequence[str]], int]] = {"new": new}
"""Words that take arguments of their own."""
