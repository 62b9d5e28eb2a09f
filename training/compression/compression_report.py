"""Variants of the student beside what ships: other precisions, and narrower encoders (`narrow.py`).

Each is measured by how it ranks and how fast it is.

On validation lists alone, by the first head: NDCG@10, the share of lists whose first choice is that of the whole
student in fp32, and the pace of the graphs on two threads. Nothing here decides what ships.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from models.text import TextEncoder
from training.compression.onnx_export import traced
from training.compression.onnx_inference import measured_once, open_graphs, write_graphs
from training.compression.pruned_student import narrow_student, student_moments
from training.data.lists import CandidateList, read_lists, some_of_each
from training.evaluation.figures import quality
from training.nets.checkpoints import Student
from training.recipe import Recipe

Lists = Sequence[CandidateList]
PRECISIONS = ("fp32", "fp16", "int8")
REFERENCE = "unpruned-fp32"


@dataclass(frozen=True)
class VariantCost:
    """What a variant takes: units of a feed-forward part, bytes of its graphs, and `pace` (see `served.pace`)."""

    units: int
    size: int
    pace: dict[str, float]


def measure_variants(
    recipe: Recipe, encoder: TextEncoder, short: TextEncoder, data: Path, student: Student, out: Path
) -> None:
    """Write `variants.json` to `out`, where the whole student's graphs stand; empty where the recipe wants no variants.

    What was measured is not measured again. Narrow students learn from texts as `short` cuts them.
    """
    rows: list[dict[str, Any]] = []
    if plan := recipe.pruned:
        lists = some_of_each(read_lists(data, recipe.policy_heads, "valid"), plan.lists, recipe.seed)
        train = read_lists(data, recipe.policy_heads, "train")
        moments = cache(lambda: student_moments(student, encoder, train, recipe.seed))
        measure = partial(_measure_once, encoder=encoder, lists=lists, kept=out / "variants")
        found = {f"unpruned-{each}": measure(f"unpruned-{each}", each, out, lambda: student) for each in PRECISIONS}
        for share in plan.shares:
            folder = out / f"pruned-{100 * share:g}"
            make = partial(narrow_student, student, share, moments, plan.schedule, short, train, folder)
            name = f"{folder.name}-int8"
            found[name] = measure(name, "int8", folder, partial(_write_narrow, make, folder))
        rows = _rows(lists, recipe.policy_heads[0], found)
    (out / "variants.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def _rows(lists: Lists, head: str, found: Mapping[str, tuple[VariantCost, np.ndarray]]) -> list[dict[str, Any]]:
    reference = found[REFERENCE][1][:, 0]
    return [
        {"name": name, **dataclasses.asdict(cost), "sources": quality(lists, head, logits[:, 0], reference)}
        for name, (cost, logits) in found.items()
    ]


def _write_narrow(make: Callable[[], Student], folder: Path) -> Student:
    """What `make` makes; its graphs go to `folder`."""
    narrow = make()
    for precision in ("fp32", "int8"):
        write_graphs(narrow, folder, precision)
    return narrow


def _measure_once(
    name: str,
    precision: str,
    graphs: Path,
    make: Callable[[], Student],
    *,
    encoder: TextEncoder,
    lists: Lists,
    kept: Path,
) -> tuple[VariantCost, np.ndarray]:
    """Cost and logits f32[pairs, H]; `make` sees to it that graphs of a student stand in `graphs`."""

    def found() -> tuple[VariantCost, np.ndarray]:
        student = make()
        opened = open_graphs(student, graphs, precision, encoder)
        size = sum((graphs / f"{each.stem}.{precision}.onnx").stat().st_size for each in traced(student))
        cost = VariantCost(student.backbone.config.intermediate_size, size, opened.throughput(lists))
        return cost, opened.logits(lists)

    kept.mkdir(exist_ok=True)
    return measured_once(kept / f"{name}.json", VariantCost, found)
