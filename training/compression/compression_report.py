"""Compression report: variants of the student in other precisions and with pruned encoders, beside the student itself.

On validation lists only, by the first head: NDCG@10, the share of lists with the same first choice as the unpruned
student in fp32, and the throughput of the graphs on two threads. Nothing here decides what ships.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from models.text import TextEncoder
from training.compression.onnx_export import traced
from training.compression.onnx_inference import measured_once, open_graphs, write_graphs
from training.compression.pruned_student import pruned_student, student_moments
from training.data.lists import CandidateList, read_lists, some_of_each
from training.evaluation.figures import quality
from training.evaluation.report import Variant, to_json
from training.files import write_json
from training.nets.checkpoints import Student
from training.recipe import PruningPlan

Lists = Sequence[CandidateList]
PRECISIONS = ("fp32", "fp16", "int8")
REFERENCE = "unpruned-fp32"


@dataclass(frozen=True)
class VariantCost:
    """Cost of a variant: feed-forward units of a layer, bytes of its graphs, and `pace`, items per second by kind."""

    units: int
    size: int
    pace: dict[str, float]


def measure_variants(
    plan: PruningPlan | None,
    heads: Sequence[str],
    encoder: TextEncoder,
    short: TextEncoder,
    data: Path,
    student: Student,
    out: Path,
    seed: int,
) -> None:
    """Write `variants.json` to `out`, the folder of the student's graphs; empty without a plan.

    Earlier measurements are reused. Pruned students learn from texts that `short` truncates.
    """
    rows: list[Variant] = []
    if plan:
        lists = some_of_each(read_lists(data, heads, "valid"), plan.lists, seed)
        train = read_lists(data, heads, "train")
        moments = cache(lambda: student_moments(student, encoder, train, seed))
        measure = partial(_measure_once, encoder=encoder, lists=lists, cache_folder=out / "variants")
        found = {f"unpruned-{each}": measure(f"unpruned-{each}", each, out, lambda: student) for each in PRECISIONS}
        for share in plan.shares:
            folder = out / f"pruned-{100 * share:g}"
            make = partial(pruned_student, student, share, moments, plan.schedule, short, train, folder)
            name = f"{folder.name}-int8"
            found[name] = measure(name, "int8", folder, partial(_write_pruned, make, folder))
        rows = _rows(lists, heads[0], found)
    write_json(out / "variants.json", to_json(list[Variant], rows))


def _rows(lists: Lists, head: str, found: Mapping[str, tuple[VariantCost, np.ndarray]]) -> list[Variant]:
    reference = found[REFERENCE][1][:, 0]
    return [
        Variant(name, cost.units, cost.size, cost.pace, quality(lists, head, logits[:, 0], reference))
        for name, (cost, logits) in found.items()
    ]


def _write_pruned(make: Callable[[], Student], folder: Path) -> Student:
    """The student that `make` returns; its graphs go to `folder`."""
    student = make()
    for precision in ("fp32", "int8"):
        write_graphs(student, folder, precision)
    return student


def _measure_once(
    name: str,
    precision: str,
    graphs: Path,
    make: Callable[[], Student],
    *,
    encoder: TextEncoder,
    lists: Lists,
    cache_folder: Path,
) -> tuple[VariantCost, np.ndarray]:
    """Cost and logits f32[pairs, H] of the student of `make`, which makes sure that its graphs are in `graphs`."""

    def measured() -> tuple[VariantCost, np.ndarray]:
        student = make()
        opened = open_graphs(student, graphs, precision, encoder)
        size = sum((graphs / f"{each.stem}.{precision}.onnx").stat().st_size for each in traced(student))
        cost = VariantCost(student.backbone.config.intermediate_size, size, opened.throughput(lists))
        return cost, opened.logits(lists)

    cache_folder.mkdir(exist_ok=True)
    return measured_once(cache_folder / f"{name}.json", VariantCost, measured)
