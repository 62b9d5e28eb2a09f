"""Step `frontier`: quality against speed of student architectures, from a dot product to a cross-encoder.

Every shape starts from the same teacher, trains for the same number of steps on the same lists, and is compared on the
same validation lists. Speed is that of the graphs that score a pair, in fp32 on two threads, with cached candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from models.text import TextEncoder
from training.compression.onnx_inference import measured_once, open_graphs, write_graphs
from training.data.lists import CandidateList, read_lists, some_drawn
from training.distillation.item_student import direction_texts, start_student
from training.evaluation.cached_logits import teacher_logits
from training.evaluation.figures import quality
from training.evaluation.report import ShapePoint, to_json
from training.files import write_json
from training.nets.checkpoints import Student
from training.nets.cross_encoder import CrossEncoder, load_cross_encoder
from training.nets.shapes import SplitShape
from training.objectives.graded_batches import graded_batches, predict_batches, train_upper_layers
from training.recipe import Sweep, TextPlan
from training.step_runner import Resources, Step
from training.steps.start import text_encoder
from training.trainer.loop import fit

FLAT = "flat"
"""The model that all shapes start from, as a cross-encoder."""


@dataclass(frozen=True)
class PointCost:
    """Cost of a model: pairs per second, and bytes of a cached candidate (0 for a cross-encoder)."""

    pairs_per_second: float
    slot_bytes: int


@dataclass(frozen=True)
class SweepData:
    """What all models share: text encoder, lists, the folder of cached encodings, the folder of the backbone."""

    encoder: TextEncoder
    heads: tuple[str, ...]
    train: list[CandidateList]
    valid: list[CandidateList]
    cache: Path
    backbone: str


@dataclass(frozen=True)
class SweepPlan:
    """What is compared (None: nothing), by the graded heads, after training on at most `lists` lists."""

    heads: tuple[str, ...]
    text: TextPlan
    sweep: Sweep | None
    lists: int | None
    seed: int


@dataclass(frozen=True)
class SweepInputs:
    data: Path
    start: Path


def sweep_architectures(plan: SweepPlan, inputs: SweepInputs, out: Path, resources: Resources) -> None:
    """Write `frontier.json`: for each model its cost, and how it ranks the validation lists of each source.

    Differences are to the first shape. A model that was measured is not measured again.
    """
    rows: list[ShapePoint] = []
    if sweep := plan.sweep:
        encoder = text_encoder(plan.text, resources, plan.text.training_tokens)
        judged = read_lists(inputs.data, plan.heads, "train", "judged")
        train = judged or some_drawn(read_lists(inputs.data, plan.heads, "train"), plan.lists, plan.seed)
        valid, tokenizer = read_lists(inputs.data, plan.heads, "valid"), resources.model(plan.text.backbone)
        data = SweepData(encoder, plan.heads, train, valid, resources.embeddings, tokenizer)
        model = load_cross_encoder(inputs.start / "model")
        found = {
            name_of(shape): _measured(out / name_of(shape), partial(_student, model, shape, sweep, data))
            for shape in sweep.shapes
        }
        found[FLAT] = _measured(out / FLAT, partial(_flat, model, data))
        rows = _rows(data, found)
    write_json(out / "frontier.json", to_json(list[ShapePoint], rows))


def _rows(data: SweepData, found: Mapping[str, tuple[PointCost, np.ndarray]]) -> list[ShapePoint]:
    _, reference = next(iter(found.values()))
    rows = []
    for name, (cost, logits) in found.items():
        sources = quality(data.valid, data.heads[0], logits[:, 0], reference[:, 0])
        rows.append(ShapePoint(name, cost.pairs_per_second, cost.slot_bytes, sources))
    return rows


def _measured(folder: Path, make: Callable[[Path], tuple[PointCost, np.ndarray]]) -> tuple[PointCost, np.ndarray]:
    """Cost and logits f32[pairs, H] of the model that `make` builds in `folder`; measured once."""
    folder.mkdir(exist_ok=True)
    return measured_once(folder.with_suffix(".json"), PointCost, partial(make, folder))


def name_of(shape: SplitShape) -> str:
    """`16x128`: slots x numbers of each; `dot` without slots."""
    return f"{shape.slots}x{shape.width}" if shape.has_items else "dot"


def _student(
    start: CrossEncoder, shape: SplitShape, sweep: Sweep, data: SweepData, folder: Path
) -> tuple[PointCost, np.ndarray]:
    """A student that learnt all heads together with the last layers of its encoder."""
    texts = direction_texts(data.train)
    student = start_student(start, data.backbone, shape, data.heads, texts)
    train_upper_layers(student, sweep.trained_layers)
    fit(student, data.train, graded_batches(student, data.encoder, data.heads), sweep.schedule, folder)
    logits = predict_batches(student, data.encoder, data.valid)
    return PointCost(_pairs_per_second(student, data, folder), student.state_bytes), logits


def _flat(teacher: CrossEncoder, data: SweepData, folder: Path) -> tuple[PointCost, np.ndarray]:
    logits = teacher_logits(teacher, data.encoder, data.valid, data.cache)
    return PointCost(_pairs_per_second(teacher, data, folder), 0), logits


def _pairs_per_second(model: Student, data: SweepData, folder: Path) -> float:
    write_graphs(model, folder, "fp32")
    return open_graphs(model, folder, "fp32", data.encoder).throughput(data.valid)["pairs"]


FRONTIER = Step(
    "frontier",
    lambda recipe: SweepPlan(recipe.head_names.gains, recipe.text, recipe.sweep, recipe.student.lists, recipe.seed),
    SweepInputs,
    sweep_architectures,
)
