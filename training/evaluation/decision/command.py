"""`python -m training report RECIPE`: systems by their paths on held-out sets, and the report that decides.

Writes `decision.json`, `decision.md`, `decision.html` and `regrade.csv`, and appends its looks at test splits to a file
beside them.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from training.data.held_out import HeldOutSet
from training.data.source_files import SourceFiles
from training.data.tables import DataError
from training.errors import UserError
from training.evaluation.decision.breaks import regrade_rows
from training.evaluation.decision.looks import Look, record_looks
from training.evaluation.decision.options import ReportOptions
from training.evaluation.decision.page import decision_html, decision_markdown
from training.evaluation.decision.report import About, DecisionReport, build
from training.evaluation.decision.scoring import names_of
from training.evaluation.decision.tables import REGRADE
from training.evaluation.promotion_gate import find_live
from training.evaluation.report import Ablation, read_part, to_json
from training.evaluation.systems.baselines import bm25, chance, cosine
from training.evaluation.systems.interface import Kind, System
from training.evaluation.systems.opening import open_system
from training.files import write_json
from training.fingerprint import commit
from training.policy.parser import read_policy
from training.recipe import DecisionPlan, Recipe
from training.tracking.curves import read_curves

NAMES: dict[Kind, str] = {
    "teacher": "a teacher",
    "student": "a student",
    "dot": "a dot product trained on the same data",
    "prompted": "a prompted model",
}


class NoDecision(UserError):
    """A recipe without held-out sets, or a source that is not there; the message says which."""


def report(recipe: Recipe, data: Path, shared: Path, options: ReportOptions) -> DecisionReport:
    """Measure and write the report. `shared` keeps scores of systems that did not change."""
    if recipe.decision is None:
        raise NoDecision(
            f"recipe {recipe.name!r} has no held-out sets: see `python -m training evaluate {recipe.name}`"
        )
    sources = SourceFiles(data)
    sets = _sets(recipe.decision, sources, options)
    systems = open_systems(recipe, sources, shared, options)
    looks = _looks(sets, systems, options)
    ablation = read_part(list[Ablation], options.ablation) if options.ablation else []
    about = _about(recipe, options)
    curves = [each for folder in options.curves for each in read_curves(folder)]
    cache = shared / "scores"
    found = build(recipe.decision, sets, systems, looks, about, cache=cache, ablation=ablation, curves=curves)
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "decision.json", to_json(DecisionReport, found))
    (options.out / "decision.md").write_text(decision_markdown(found), encoding="utf-8")
    (options.out / "decision.html").write_text(decision_html(found), encoding="utf-8")
    write_regrade(options.out / REGRADE, regrade_rows(found.breaks, sets, about.policy))
    return found


def write_regrade(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """A table of pairs that `training.sources.grade_files` and `python -m training new --pairs` read; none, no file."""
    if rows:
        pl.DataFrame(rows, infer_schema_length=None).write_csv(path)
    else:
        path.unlink(missing_ok=True)


def _sets(plan: DecisionPlan, sources: SourceFiles, options: ReportOptions) -> list[HeldOutSet]:
    sets = list(plan.sets(sources, options.split))
    if options.sets:
        unknown = sorted(set(options.sets) - {each.name for each in sets})
        if unknown:
            names = ", ".join(each.name for each in sets)
            raise NoDecision(f"--sets {', '.join(unknown)}: there is no such held-out set; there are: {names}")
        sets = [each for each in sets if each.name in options.sets]
    if not sets:
        raise NoDecision(f"there is no held-out set: the sources are not in --data ({options.split} split)")
    return sets


def open_systems(recipe: Recipe, sources: SourceFiles, shared: Path, options: ReportOptions) -> list[System]:
    """Baselines, what is live, and every path that was given. The first student is the one that ships."""
    systems = [chance(), bm25(recipe.text.template)]
    backbone = _backbone(recipe, sources, shared)
    if backbone:
        systems.append(cosine(recipe.text.template, str(backbone)))
    live = find_live(options.bundles, recipe.name) if options.live == "auto" else options.live
    if live and live != "none":
        systems.append(open_system(str(live), Path(live).name, "live", recipe, backbone))
    for kind, paths in options.systems:
        for seed, path in enumerate(paths):
            limit = options.teacher_lists if kind == "teacher" else None
            found = open_system(path, kind, kind, recipe, backbone, seed=seed)
            systems.append(replace(found, most_lists=limit))
    return systems


def _backbone(recipe: Recipe, sources: SourceFiles, shared: Path) -> Path | None:
    """The folder of the recipe's pretrained encoder; None where it is not there, and then there is no cosine."""
    try:
        return Path(recipe.text.backbone(sources, shared / "models" / "report"))
    except DataError:
        return None


def _looks(sets: Sequence[HeldOutSet], systems: Sequence[System], options: ReportOptions) -> dict[str, Look]:
    """Recorded before anything is scored, so that a run that is cut off counts too. Validation is no look."""
    return record_looks(options.looks, sets, names_of(systems), commit()) if options.split == "test" else {}


def _about(recipe: Recipe, options: ReportOptions) -> About:
    given = {kind for kind, paths in options.systems if paths}
    missing = [kind for kind in NAMES if kind not in given]
    notes = [f"Not given, so not measured: {', '.join(NAMES[kind] for kind in missing)}."] if missing else []
    command = "python -m training " + shlex.join(sys.argv[1:])
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    date = datetime.now(UTC).isoformat(timespec="minutes")
    policy = read_policy(recipe.data.policy)
    return About(recipe.name, policy, options.split, date, commit(), machine, command, tuple(notes))
