"""Step `evaluate`: every system on the same held-out lists, each source by itself, with bootstrap 95 % intervals.

Systems: BM25, the untouched backbone's cosine, the teacher, the student, and the student's int8 graph as it ships.
Fails under the recipe's floors; the report is written all the same.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import Calibration
from models.cross import CrossScorer
from models.session import Session
from models.text import TextEncoder
from training import ranking
from training.baselines import bm25_scores, cosine_scores
from training.calibrate import expected_calibration_error
from training.cross_encoder import encode_lists, predict_lists
from training.data import CandidateList, read_lists
from training.recipe import Recipe
from training.report import markdown
from training.store import load_model

Scores = dict[str, list[np.ndarray]]
BASELINES = ("bm25", "cosine")


class FloorBroken(Exception):
    """A figure under the recipe's floor; the sentence names the figure, its value and the floor."""


def evaluate(recipe: Recipe, encoder: TextEncoder, backbone: str, folders: dict[str, Path], out: Path) -> None:
    """Write `report.json` and `report.md` to `out`; raise FloorBroken when a figure is too low."""
    lists = _some_of_each(read_lists(folders["data"], recipe.head_names, "test"), recipe.evaluated_lists, recipe.seed)
    report: dict[str, Any] = {"heads": {}}
    by_system = _logits(recipe, encoder, folders, lists)
    for index, head in enumerate(recipe.head_names):
        scores: Scores = {name: _split(logits[:, index], lists) for name, logits in by_system.items()}
        if recipe.baselines:
            scores["bm25"] = bm25_scores(lists)
            scores["cosine"] = cosine_scores(lists, backbone, max_tokens=256)
        calibration = load_model(folders["distill"])[1][head]
        report["heads"][head] = _head_report(head, lists, scores, calibration)
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (out / "report.md").write_text(markdown(report), encoding="utf-8")
    _check_floors(recipe, report)


def _some_of_each(lists: Sequence[CandidateList], count: int | None, seed: int) -> list[CandidateList]:
    """`count` lists of each source drawn at random (None: all), in the order of the file."""
    if count is None:
        return list(lists)
    random_ = random.Random(seed)
    kept: set[int] = set()
    for source in sorted({each.source for each in lists}):
        rows = [row for row, each in enumerate(lists) if each.source == source]
        kept.update(random_.sample(rows, min(count, len(rows))))
    return [lists[row] for row in sorted(kept)]


def _logits(
    recipe: Recipe, encoder: TextEncoder, folders: dict[str, Path], lists: Sequence[CandidateList]
) -> dict[str, np.ndarray]:
    teacher, _ = load_model(folders["teach"])
    student, _ = load_model(folders["distill"])
    graph = (folders["compress"] / "student.int8.onnx").read_bytes()
    return {
        "teacher": predict_lists(teacher, encoder, lists),
        "student": predict_lists(student, encoder, lists),
        "student-int8": graph_logits(graph, encoder, lists),
    }


def graph_logits(graph: bytes, encoder: TextEncoder, lists: Sequence[CandidateList], *, batch: int = 16) -> np.ndarray:
    """Logits f32[pairs, H] of an ONNX graph, in order; batches of like length."""
    scorer = CrossScorer(Session.open(graph, "cpu", 2), encoder, ())
    pairs = encode_lists(encoder, lists)
    order = sorted(range(len(pairs)), key=lambda index: len(pairs[index]))
    found: dict[int, np.ndarray] = {}
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        found.update(zip(chosen, scorer.logits([pairs[index] for index in chosen]), strict=True))
    return np.stack([found[index] for index in range(len(pairs))])


def _split(values: np.ndarray, lists: Sequence[CandidateList]) -> list[np.ndarray]:
    return np.split(values, np.cumsum([len(each) for each in lists])[:-1])


def _head_report(head: str, lists: Sequence[CandidateList], scores: Scores, calibration: Calibration) -> dict[str, Any]:
    sources = {}
    for source in sorted({each.source for each in lists}):
        rows = [index for index, each in enumerate(lists) if each.source == source]
        gains = [lists[row].labels[head] for row in rows]
        if not any(np.nansum(gain) > 0 for gain in gains):
            continue
        chosen = {name: [values[row] for row in rows] for name, values in scores.items()}
        sources[source] = _source_report(chosen, gains, calibration)
    return {"sources": sources}


def _source_report(scores: Scores, gains: list[np.ndarray], calibration: Calibration) -> dict[str, Any]:
    values = {
        name: {metric: ranking.evaluate_lists(function, each, gains) for metric, function in ranking.METRICS.items()}
        for name, each in scores.items()
    }
    systems = {
        name: {metric: dataclasses.asdict(ranking.bootstrap(row)) for metric, row in rows.items()}
        for name, rows in values.items()
    }
    final = values["student-int8"]["ndcg@10"]
    against = {
        name: dataclasses.asdict(ranking.bootstrap(final - values[name]["ndcg@10"]))
        for name in (*BASELINES, "teacher", "student")
        if name in values
    }
    targets = np.concatenate(gains)
    judged = ~np.isnan(targets)
    probabilities = calibration.apply(np.concatenate(scores["student-int8"]))
    error = expected_calibration_error(probabilities[judged], targets[judged])
    return {"lists": len(gains), "systems": systems, "student_minus": against, "calibration_error": error}


def _check_floors(recipe: Recipe, report: dict[str, Any]) -> None:
    for key, floor in recipe.floors.items():
        head, source, metric = key.split("/")
        found = report["heads"][head]["sources"][source]["systems"]["student-int8"][metric]["mean"]
        if not found >= floor:
            raise FloorBroken(f"{key} of the student's int8 graph is {found:.4f}, under the floor of {floor}")
