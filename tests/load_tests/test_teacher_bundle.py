"""A flat teacher becomes a bundle that the service can load: a cross-encoder in fp32."""

from __future__ import annotations

from pathlib import Path

import pytest

from load_tests.teacher_bundle import TOLERANCE, teacher_bundle
from models.heads import Calibration
from training.nets.checkpoints import save_model
from training.nets.cross_encoder import new_cross_encoder, read_tokenizer
from training.nets.tiny_backbone import write_tiny_backbone
from training.recipes.demo import recipe

# Steep, and in the middle of what a tiny model answers, so that two pairs differ.
CALIBRATIONS = {"relevance": Calibration(slope=20.0, intercept=-194.0)}


@pytest.mark.slow
def test_a_teacher_bundle_gives_the_teachers_answers(tmp_path: Path) -> None:
    """Writing the bundle compares torch's answers with the graph's."""
    words = ["senior junior baker welder dough ovens steel cranes hills airport"]
    backbone = write_tiny_backbone(tmp_path / "backbone", words, layers=1, hidden=32)
    (tmp_path / "teach").mkdir()
    save_model(tmp_path / "teach", new_cross_encoder(backbone, 1).cpu(), CALIBRATIONS)
    bundle = teacher_bundle(recipe(), tmp_path / "teach", read_tokenizer(backbone), tmp_path / "bundle")
    assert bundle.manifest.kind == "cross"
    assert [(graph.part, graph.precision) for graph in bundle.manifest.graphs] == [("pair", "fp32")]
    assert [head.calibration for head in bundle.manifest.heads] == list(CALIBRATIONS.values())
    (one,), (other,) = (answer.probabilities for answer in bundle.manifest.known_answers)
    assert abs(one - other) > 100 * TOLERANCE, "a graph that gave every pair the same answer would pass"
