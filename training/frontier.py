"""Step `frontier`: how quality and speed trade, from a dot product to joint layers, so that a shape is picked, not
guessed.

Every shape starts from the same teacher, learns from the same lists for as long, and is judged on validation lists
alone. Speed is the score graph by itself: one member, many candidates, fp32, two threads.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.session import Session
from models.split import Block, MemberState, SplitScorer
from models.text import TextEncoder
from training import ranking
from training.cross_encoder import load_cross_encoder
from training.data import CandidateList, by_list, read_lists, some_drawn
from training.fit import Schedule, fit
from training.graphs import traced, write_onnx
from training.joint import contrast_jointly, encode_sides, score_lists
from training.recipe import Recipe, Sweep
from training.split import SplitShape, SplitStudent, new_split_student
from training.store import encoder_folder

MEMBER_TOKENS = 128
CANDIDATES = 250
REPEATS = 7


@dataclass(frozen=True)
class Point:
    """One shape's place: NDCG@10 of each source's validation lists, and what scoring and keeping cost."""

    name: str
    shape: SplitShape
    ndcg: dict[str, float]
    pairs_per_second: float
    slot_bytes: int


def frontier(recipe: Recipe, encoder: TextEncoder, data: Path, teacher: Path, readings: Path, out: Path) -> None:
    """Write `frontier.json` to `out`, without points where the recipe sweeps nothing; a shape that was measured is not
    measured again.
    """
    sweep = recipe.sweep or Sweep((), recipe.student.sides)
    train = some_drawn(read_lists(data, recipe.policy_heads, "train"), recipe.student_lists, recipe.seed)
    valid = read_lists(data, recipe.policy_heads, "valid")
    points = []
    for shape in sweep.shapes:
        path = out / f"{name_of(shape)}.json"
        if not path.exists():
            point = _measure(recipe, shape, sweep.schedule, encoder, teacher, train, valid, readings, out)
            path.write_text(json.dumps(dataclasses.asdict(point)) + "\n", encoding="utf-8")
        points.append(json.loads(path.read_text(encoding="utf-8")))
    (out / "frontier.json").write_text(json.dumps(points, indent=2) + "\n", encoding="utf-8")


def name_of(shape: SplitShape) -> str:
    """`4x1`: pooled slots by joint layers; a narrower feed-forward part is named too."""
    narrow = f"-ff{shape.feed_forward}" if shape.feed_forward else ""
    return f"{shape.pooled}x{shape.joint_layers}{narrow}"


def _measure(
    recipe: Recipe,
    shape: SplitShape,
    schedule: Schedule,
    encoder: TextEncoder,
    teacher: Path,
    train: Sequence[CandidateList],
    valid: Sequence[CandidateList],
    readings: Path,
    out: Path,
) -> Point:
    student = new_split_student(load_cross_encoder(encoder_folder(teacher)), shape).eval()
    if shape.joint_layers:
        sides = encode_sides(student, encoder, train, readings)
        fit(
            student.scorer, train, contrast_jointly(student, sides, recipe.policy_heads), schedule, out / name_of(shape)
        )
    found = score_lists(student, encode_sides(student, encoder, valid, readings), valid)
    speed = pairs_per_second(student, encoder, out / name_of(shape))
    width = student.backbone.config.hidden_size
    return Point(
        name_of(shape), shape, _ndcg(recipe.policy_heads[0], valid, found[:, 0]), speed, 2 * (shape.pooled + 1) * width
    )


def _ndcg(head: str, lists: Sequence[CandidateList], logits: np.ndarray) -> dict[str, float]:
    scores = by_list(logits, lists)
    by_source: dict[str, list[float]] = {}
    for each, score in zip(lists, scores, strict=True):
        by_source.setdefault(each.source, []).append(ranking.ndcg_at_10(score, each.labels[head]))
    return {source: float(np.nanmean(values)) for source, values in by_source.items()}


def pairs_per_second(student: SplitStudent, encoder: TextEncoder, folder: Path) -> float:
    """The score graph's own pace, fastest of a few runs."""
    folder.mkdir(exist_ok=True)
    *_, score = traced(student)
    write_onnx(score, folder / "score.onnx")
    session = Session.open((folder / "score.onnx").read_bytes(), "cpu", 2)
    scorer = SplitScorer(session, session, session, encoder, ())
    block = _made_up_block(student)
    scorer.block_logits([block])
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        scorer.block_logits([block])
        times.append(time.perf_counter() - began)
    return CANDIDATES / min(times)


def _made_up_block(student: SplitStudent) -> Block:
    random = np.random.default_rng(0)
    config, shape = student.backbone.config, student.shape
    width, heads = config.hidden_size, config.num_attention_heads
    slots = random.normal(size=(CANDIDATES, shape.pooled + 1, width)).astype(np.float16)
    keys_values = None
    if shape.joint_layers:
        sizes = (shape.joint_layers, 2, heads, MEMBER_TOKENS, width // heads)
        keys_values = random.normal(size=sizes).astype(np.float32)
    return Block(MemberState(keys_values, random.normal(size=width).astype(np.float32)), slots)
