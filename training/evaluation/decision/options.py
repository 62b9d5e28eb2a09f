"""What `python -m training report` is asked for. Imports nothing heavy: every command reads its options."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from training.data.lists import Split
from training.evaluation.systems.interface import Kind

KINDS: tuple[Kind, ...] = ("teacher", "student", "dot", "prompted", "other")
"""What is given by path; baselines are always there, and what is live is found."""


@dataclass(frozen=True)
class ReportOptions:
    """What the command line asks for. `live` is a bundle, "none", or "auto": the newest of its name in `bundles`."""

    systems: tuple[tuple[Kind, tuple[str, ...]], ...]
    live: str
    bundles: Path
    split: Split
    out: Path
    looks: Path
    teacher_lists: int | None
    ablation: Path | None
    sets: tuple[str, ...] = ()
    curves: tuple[Path, ...] = ()


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """The options of `report`, in a group of their own."""
    group = parser.add_argument_group(
        "report", "systems by path: a bundle, a folder of `teach`, or a .parquet of scores"
    )
    for kind in KINDS:
        help_ = f"one PATH for each seed of the {kind}; `{{fold}}` in it is the number of a cross-fitted fold"
        group.add_argument(f"--{kind}", nargs="+", default=[], metavar="PATH", help=help_)
    group.add_argument(
        "--live", default="auto", help="the bundle that is live, `none`, or `auto`: the newest in models/"
    )
    group.add_argument("--split", choices=["valid", "test"], default="valid", help="a look at `test` is counted")
    group.add_argument("--out", type=Path, help="folder of the report (default: RUNS/RECIPE/report)")
    group.add_argument("--looks", type=Path, help="file that looks are appended to (default: beside the report)")
    group.add_argument("--teacher-lists", type=int, help="lists of a set that teachers read (default: all)")
    group.add_argument("--sets", nargs="+", default=[], metavar="SET", help="names of held-out sets (default: all)")
    group.add_argument("--curves", nargs="+", type=Path, metavar="FOLDER", help="trainings (default: the recipe's run)")
    group.add_argument("--ablation", type=Path, help="ablation.json (default: that of the recipe's run)")


def report_options(options: argparse.Namespace, recipe: str) -> ReportOptions:
    out = options.out or options.runs / recipe / "report"
    ablation = options.ablation or options.runs / recipe / "ablate" / "ablation.json"
    return ReportOptions(
        systems=tuple((kind, tuple(getattr(options, kind))) for kind in KINDS),
        live=options.live,
        bundles=Path("models"),
        split=options.split,
        out=out,
        looks=options.looks or out.parent / f"{out.name}-looks.jsonl",
        teacher_lists=options.teacher_lists,
        ablation=ablation if ablation.exists() else None,
        sets=tuple(options.sets),
        curves=tuple(options.curves or [options.runs / recipe / step for step in ("teach", "distill")]),
    )
