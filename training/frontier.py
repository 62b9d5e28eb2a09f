"""Step `frontier`: how quality and speed trade, from a dot product to reading every pair whole, so that a shape is
picked, not guessed.

Every shape starts from the same teacher, learns from the same lists for as long, and is judged on the same validation
lists as the teacher is. Speed is that of the graphs that a pair takes, in fp32 on two threads; candidates are warm.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.text import TextEncoder
from training import ranking
from training.cross_encoder import CrossEncoder, load_cross_encoder
from training.data import CandidateList, by_list, read_lists, some_drawn
from training.fit import Schedule, fit
from training.joint import contrast_jointly, encode_sides, score_lists
from training.recipe import Recipe
from training.served import open_graphs, pace, write_graphs
from training.split import SplitShape, new_split_student
from training.store import Student, encoder_folder
from training.teacher_logits import teacher_logits

FLAT = "flat"
"""The model that all shapes start from, reading every pair whole."""


@dataclass(frozen=True)
class Point:
    """A model's place: NDCG@10 of each source's validation lists, pairs a second, and bytes of a candidate that is kept
    (0 where nothing can be).
    """

    name: str
    ndcg: dict[str, float]
    pairs_per_second: float
    slot_bytes: int


@dataclass(frozen=True)
class Judged:
    """What every point is made with: texts as the recipe reads them, lists to learn from and to be judged on."""

    encoder: TextEncoder
    heads: tuple[str, ...]
    train: list[CandidateList]
    valid: list[CandidateList]
    readings: Path


def frontier(recipe: Recipe, encoder: TextEncoder, data: Path, teacher: Path, readings: Path, out: Path) -> None:
    """Write `frontier.json` to `out`, without points where the recipe sweeps nothing; a model that was measured is not
    measured again.
    """
    points = []
    if sweep := recipe.sweep:
        train = some_drawn(read_lists(data, recipe.policy_heads, "train"), recipe.student_lists, recipe.seed)
        judged = Judged(encoder, recipe.policy_heads, train, read_lists(data, recipe.policy_heads, "valid"), readings)
        model = load_cross_encoder(encoder_folder(teacher))
        for shape in (*sweep.shapes, None):
            folder = out / (name_of(shape) if shape else FLAT)
            if not (path := folder.with_suffix(".json")).exists():
                folder.mkdir(exist_ok=True)
                point = (
                    _student(model, shape, sweep.schedule, judged, folder) if shape else _flat(model, judged, folder)
                )
                path.write_text(json.dumps(dataclasses.asdict(point)) + "\n", encoding="utf-8")
            points.append(json.loads(path.read_text(encoding="utf-8")))
    (out / "frontier.json").write_text(json.dumps(points, indent=2) + "\n", encoding="utf-8")


def name_of(shape: SplitShape) -> str:
    """`4x1`: pooled slots by joint layers; a narrower feed-forward part and another pooling are named too."""
    narrow = f"-ff{shape.feed_forward}" if shape.feed_forward else ""
    pooling = f"-{shape.pooling}" if shape.pooling != "means" else ""
    return f"{shape.pooled}x{shape.joint_layers}{narrow}{pooling}"


def _student(teacher: CrossEncoder, shape: SplitShape, schedule: Schedule, judged: Judged, folder: Path) -> Point:
    student = new_split_student(teacher, shape).eval()
    if shape.joint_layers:
        sides = encode_sides(student, judged.encoder, judged.train, judged.readings)
        fit(student.scorer, judged.train, contrast_jointly(student, sides, judged.heads), schedule, folder)
    logits = score_lists(student, encode_sides(student, judged.encoder, judged.valid, judged.readings), judged.valid)
    width = student.backbone.config.hidden_size
    return _point(student, logits, judged, folder, slot_bytes=2 * (shape.pooled + 1) * width)


def _flat(teacher: CrossEncoder, judged: Judged, folder: Path) -> Point:
    logits = teacher_logits(teacher, judged.encoder, judged.valid, judged.readings)
    return _point(teacher, logits, judged, folder, slot_bytes=0)


def _point(model: Student, logits: np.ndarray, judged: Judged, folder: Path, slot_bytes: int) -> Point:
    write_graphs(model, folder, "fp32")
    scorer = open_graphs(model, folder, "fp32", judged.encoder)
    speed = pace(scorer, judged.encoder, judged.valid)["pairs"]
    return Point(folder.name, _ndcg(judged.heads[0], judged.valid, logits[:, 0]), speed, slot_bytes)


def _ndcg(head: str, lists: Sequence[CandidateList], logits: np.ndarray) -> dict[str, float]:
    scores = by_list(logits, lists)
    by_source: dict[str, list[float]] = {}
    for each, score in zip(lists, scores, strict=True):
        by_source.setdefault(each.source, []).append(ranking.ndcg_at_10(score, each.labels[head]))
    return {source: float(np.nanmean(values)) for source, values in by_source.items()}
