"""Variants of the student: quality by source, pruned ones learn again, and measurements are reused."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from models.text import TextEncoder
from training.compression import compression_report as variants
from training.compression.onnx_inference import FlatGraphs, write_graphs
from training.compression.pruned_student import pruned_student, student_moments, train_layers_only
from training.data.lists import CandidateList
from training.evaluation.figures import quality
from training.nets.checkpoints import Student
from training.nets.cross_encoder import CrossEncoder, new_cross_encoder
from training.nets.shapes import DOT, SplitShape
from training.nets.split_student import new_split_student
from training.objectives.in_batch_negatives import embed_lists, imitate
from training.recipe import PruningPlan
from training.trainer.schedule import Schedule

FITS = {"baker": "oven", "welder": "steel", "nurse": "ward"}
LISTS = [
    CandidateList(f"{source}/{member}", source, member, tuple(FITS.values()), {"fit": np.eye(3)[row]})
    for source in ("near", "far")
    for row, member in enumerate(FITS)
]
SCHEDULE = Schedule(steps=30, lists_per_step=3, learning_rate=1e-3)
SHAPES = [None, DOT, SplitShape(2, 16)]


def new_student(backbone: str, shape: SplitShape | None) -> Student:
    torch.manual_seed(0)
    flat = new_cross_encoder(backbone, 1).cpu().eval()
    return flat if shape is None else new_split_student(flat, shape).eval()


def test_quality_is_by_source_and_compared_with_the_reference() -> None:
    good = np.concatenate([each.labels["fit"] for each in LISTS]).astype(np.float32)
    bad = good.copy()
    bad[:9] = -good[:9]  # the first source, upside down
    same, worse = (quality(LISTS, "fit", each, good) for each in (good, bad))
    for source in ("near", "far"):
        assert same[source].ndcg.mean == same[source].top1.mean == 1
        assert same[source].minus_reference.mean == 0
    assert worse["far"] == same["far"]
    assert worse["near"].top1.mean == 0
    assert worse["near"].minus_reference.high < 0
    assert worse["near"].minus_reference.mean == worse["near"].ndcg.mean - 1


@pytest.mark.parametrize("shape", SHAPES)
def test_only_the_encoder_changes(backbone: str, encoder: TextEncoder, shape: SplitShape | None) -> None:
    student = new_student(backbone, shape)
    sides = student.apart()
    again = student.with_encoder_of(sides)
    assert type(again) is type(student)
    assert student.state_dict().keys() == again.state_dict().keys()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in student.state_dict().items())
    with torch.inference_mode():
        found = sides.match(*(each.unsqueeze(axis) for axis, each in enumerate(reversed(embedded(sides, encoder)))))
    assert found.shape == (3, 3, 1)
    train_layers_only(sides)
    assert not sides.weight.requires_grad
    assert {name.split(".")[1] for name, each in sides.named_parameters() if each.requires_grad} == {"encoder"}


def embedded(model: CrossEncoder, encoder: TextEncoder) -> tuple[torch.Tensor, torch.Tensor]:
    return embed_lists(model, encoder, LISTS[:3])


def test_a_pruned_student_learns_the_embeddings_of_the_unpruned_one(
    backbone: str, encoder: TextEncoder, tmp_path: Path
) -> None:
    student = new_student(backbone, None)
    moments = student_moments(student, encoder, LISTS, 0)
    before = copy.deepcopy(student.state_dict())
    lost = {}
    unmoved = dataclasses.replace(SCHEDULE, steps=1, learning_rate=0.0)
    for name, schedule in (("pruned", unmoved), ("taught", dataclasses.replace(SCHEDULE, steps=60))):
        narrow = pruned_student(student, 0.125, lambda: moments, schedule, encoder, LISTS, tmp_path / name)
        assert narrow.backbone.config.intermediate_size == 8
        lost[name] = imitate(narrow.apart(), student.apart(), encoder)(LISTS[:3]).item()
    assert lost["taught"] < lost["pruned"] / 3
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.state_dict().items())


Measure = Callable[[PruningPlan | None, Student], None]
PLAN = PruningPlan(shares=(0.5,), schedule=dataclasses.replace(SCHEDULE, steps=2))


@pytest.fixture
def measure(backbone: str, encoder: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    """Measures variants of a student; the lists of every split are the same few."""
    monkeypatch.setattr(variants, "read_lists", lambda *_: LISTS)

    def work(plan: PruningPlan | None, student: Student) -> None:
        variants.measure_variants(plan, ["fit"], encoder, encoder, tmp_path, student, tmp_path, seed=0)

    return work


@pytest.mark.slow
def test_each_variant_is_measured_once(
    measure: Measure, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = new_student(backbone, None)
    for precision in variants.PRECISIONS:
        write_graphs(student, tmp_path, precision)
    measure(PLAN, student)
    rows = {row["name"]: row for row in json.loads((tmp_path / "variants.json").read_text())}
    assert list(rows) == ["unpruned-fp32", "unpruned-fp16", "unpruned-int8", "pruned-50-int8"]
    assert [row["units"] for row in rows.values()] == [64, 64, 64, 32]
    assert rows["pruned-50-int8"]["size"] < rows["unpruned-int8"]["size"] < rows["unpruned-fp32"]["size"]
    assert rows["unpruned-fp32"]["sources"]["near"]["top1"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert {"near", "far"} == rows["pruned-50-int8"]["sources"].keys()
    assert all(row["pace"].keys() == {"pairs"} and row["pace"]["pairs"] > 0 for row in rows.values())

    # A run that was cut off after three variants measures the fourth alone.
    (tmp_path / "variants" / "pruned-50-int8.json").unlink()
    (tmp_path / "variants.json").unlink()
    opened = []

    logits = FlatGraphs.logits

    def upside_down(graphs: FlatGraphs, lists: list[CandidateList]) -> np.ndarray:
        opened.append(graphs)
        return -logits(graphs, lists)

    monkeypatch.setattr(FlatGraphs, "logits", upside_down)
    monkeypatch.setattr("training.compression.pruned_student.fit", lambda *_: pytest.fail("trained again"))
    measure(PLAN, student)
    again = {row["name"]: row for row in json.loads((tmp_path / "variants.json").read_text())}
    assert len(opened) == 1
    assert [again[name] == row for name, row in rows.items()] == [True, True, True, False]


def test_a_recipe_without_variants_measures_none(measure: Measure, backbone: str, tmp_path: Path) -> None:
    measure(None, new_student(backbone, None))
    assert json.loads((tmp_path / "variants.json").read_text()) == []


@pytest.mark.parametrize("share", [0.0, 1.0, 50.0])
def test_a_share_outside_zero_and_one_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        PruningPlan(shares=(0.5, share), schedule=SCHEDULE)
