"""Step `evaluate`: every system on the same held-out lists, each source by itself, with bootstrap 95 % intervals.

Systems: BM25, the untouched backbone's cosine, each head's teacher, the student, and the student's int8 graph as it
ships. Graded heads are judged on graded lists, actions on the log's.
Writes `report.json`, `report.md` and, with the texts of the worst pairs, `report.html`. Fails under the recipe's floors
and when the student may be worse than the live bundle; the report is written all the same.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle.files import Bundle
from models.heads import Calibration
from models.loading import open_encoder, open_scorer
from models.text import TextEncoder
from training.compression.onnx_inference import graphs_of, open_graphs
from training.data.impressions import read_impressions
from training.data.lists import CandidateList, by_list, labelled_for, read_lists, some_of_each
from training.errors import UserError
from training.evaluation.baselines import bm25_scores, cosine_scores
from training.evaluation.cached_logits import teacher_logits
from training.evaluation.fairness import audit
from training.evaluation.figures import Scores, head_figures
from training.evaluation.html_report import html
from training.evaluation.markdown_report import markdown
from training.evaluation.promotion_gate import Decision, NotPromoted, decide
from training.evaluation.worst_errors import worst_breaks
from training.metrics import ranking
from training.nets.checkpoints import load_student
from training.recipe import Recipe
from training.steps.annotate import Teacher, read_teachers

SHIPPED = "student-int8"
SHOWN_BREAKS = 6


class FloorBroken(UserError):
    """A figure under the recipe's floor; the sentence names the figure, its value and the floor."""


def evaluate(
    recipe: Recipe,
    encoder: TextEncoder,
    backbone: str,
    folders: dict[str, Path],
    readings: Path,
    live: Path | None,
    out: Path,
) -> None:
    """Write the report to `out`; raise FloorBroken when a figure is too low, NotPromoted when `live` may be better."""
    lists = some_of_each(_held_out(recipe, folders), recipe.evaluated_lists, recipe.seed)
    by_system = _logits(recipe, encoder, folders, lists, readings)
    first, calibrations = recipe.head_names[0], _calibrations(recipe, folders)
    scores = _scores(recipe, backbone, lists, by_system)
    decision = _compare(live, first, lists, scores[first][SHIPPED]) if live else None
    shares = folders["distill"] / "shares.json"
    report: dict[str, Any] = {
        "shipped": SHIPPED,
        "heads": {
            head: head_figures(
                head, lists, scores[head], {name: found[head] for name, found in calibrations.items()}, SHIPPED
            )
            for head in recipe.head_names
        },
        "judge": json.loads((folders["judge"] / "judge.json").read_text(encoding="utf-8")),
        "fairness": _audit(recipe, encoder, folders, lists, calibrations[SHIPPED][first]),
        "frontier": json.loads((folders["frontier"] / "frontier.json").read_text(encoding="utf-8")),
        "variants": json.loads((folders["compress"] / "variants.json").read_text(encoding="utf-8")),
        "shares": json.loads(shares.read_text(encoding="utf-8")) if shares.exists() else None,
        "ablation": json.loads((folders["ablate"] / "ablation.json").read_text(encoding="utf-8")),
        "promotion": {**dataclasses.asdict(decision), "sentence": decision.sentence} if decision else None,
    }
    stated = [calibrations[SHIPPED][first].apply(values) for values in scores[first][SHIPPED]]
    too_high, too_low = worst_breaks(lists, first, stated, untold=recipe.untold_sources, count=SHOWN_BREAKS)
    breaks = {"Held too high": too_high, "Held too low": too_low}
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (out / "report.md").write_text(markdown(report), encoding="utf-8")
    (out / "report.html").write_text(html(f"Evaluation of {recipe.name}", report, breaks), encoding="utf-8")
    _check_floors(recipe, report)
    if decision and not decision.promoted:
        raise NotPromoted(decision.sentence)


def _held_out(recipe: Recipe, folders: dict[str, Path]) -> list[CandidateList]:
    graded = read_lists(folders["data"], recipe.policy_heads, "test")
    logged = read_impressions(folders["log"] / "impressions.parquet", recipe.actions, "test")
    return labelled_for([*graded, *logged], recipe.head_names)


def _scores(
    recipe: Recipe, backbone: str, lists: Sequence[CandidateList], by_system: dict[str, np.ndarray]
) -> dict[str, Scores]:
    """Of each head: every system's scores. The baselines know no heads and are the same for all."""
    baselines: Scores = {}
    if recipe.baselines:
        baselines = {"bm25": bm25_scores(lists), "cosine": cosine_scores(lists, backbone, max_tokens=256)}
    return {
        head: {**{name: by_list(logits[:, index], lists) for name, logits in by_system.items()}, **baselines}
        for index, head in enumerate(recipe.head_names)
    }


def _calibrations(recipe: Recipe, folders: dict[str, Path]) -> dict[str, dict[str, Calibration]]:
    """Of those systems that state probabilities, by head."""
    student = load_student(folders["distill"])[1]
    taught = {head: each for teacher in read_teachers(recipe, folders) for head, each in teacher.calibrations.items()}
    return {"teacher": taught, "student": student, SHIPPED: student}


def _compare(live: Path, head: str, lists: Sequence[CandidateList], scores: Sequence[np.ndarray]) -> Decision | None:
    """The student against the bundle that is live, on the same lists; None when that one has no such head."""
    bundle = Bundle.load(live)
    names = [each.name for each in bundle.manifest.heads]
    if head not in names:
        return None
    logits = graphs_of(open_scorer(bundle, "cpu", 2), open_encoder(bundle)).logits(lists)
    found = by_list(logits[:, names.index(head)], lists)
    gains = [each.labels[head] for each in lists]
    new, old = (ranking.evaluate_lists(ranking.ndcg_at_10, each, gains) for each in (scores, found))
    return decide(live.name, new, old)


def _audit(
    recipe: Recipe,
    encoder: TextEncoder,
    folders: dict[str, Path],
    lists: Sequence[CandidateList],
    calibration: Calibration,
) -> dict[str, Any] | None:
    """Fairness of the first head of what ships, on some lists of each source."""
    if not recipe.audited_lists:
        return None
    graphs = open_graphs(load_student(folders["distill"])[0], folders["compress"], "int8", encoder)
    audited = some_of_each(lists, recipe.audited_lists, recipe.seed)
    return audit(audited, lambda told: calibration.apply(graphs.logits(told)[:, 0]))


def _logits_of_some(
    recipe: Recipe, teacher: Teacher, encoder: TextEncoder, lists: Sequence[CandidateList], readings: Path
) -> np.ndarray:
    """A teacher's logits on `teacher_lists` of each source that judges its heads; NaN on all other lists."""
    judged = [each for each in lists if any(not np.isnan(each.labels[head]).all() for head in teacher.heads)]
    some = some_of_each(judged, recipe.teacher_lists, recipe.seed)
    found = by_list(teacher_logits(teacher.model, encoder, some, readings), some)
    known = {each.list_id: logits for each, logits in zip(some, found, strict=True)}
    unread = {each.list_id: np.full((len(each), len(teacher.heads)), np.nan) for each in lists}
    return np.concatenate(list({**unread, **known}.values()))


def _logits(
    recipe: Recipe, encoder: TextEncoder, folders: dict[str, Path], lists: Sequence[CandidateList], readings: Path
) -> dict[str, np.ndarray]:
    taught = [_logits_of_some(recipe, each, encoder, lists, readings) for each in read_teachers(recipe, folders)]
    student, _ = load_student(folders["distill"])
    graphs = {name: open_graphs(student, folders["compress"], name, encoder) for name in ("fp32", "int8")}
    return {
        "teacher": np.concatenate(taught, axis=1),
        "student": graphs["fp32"].logits(lists),
        SHIPPED: graphs["int8"].logits(lists),
    }


def _check_floors(recipe: Recipe, report: dict[str, Any]) -> None:
    for key, floor in recipe.floors.items():
        head, source, metric = key.split("/")
        found = report["heads"][head]["sources"][source]["systems"][SHIPPED][metric]["mean"]
        if not found >= floor:
            raise FloorBroken(f"{key} of the student's int8 graph is {found:.4f}, under the floor of {floor}")
