"""Graphs of a split student equal torch, over rows of several lengths, for every pooling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from models.features import Feature, Features
from models.runtime.session import Session
from models.scorers.split import SplitScorer
from models.text import Pair, TextEncoder
from training.compression.onnx_export import EncoderGraph, traced, write_onnx
from training.compression.onnx_inference import open_graphs, write_graphs
from training.compression.quantization import write_int8
from training.nets.cross_encoder import new_cross_encoder
from training.nets.feature_part import FeaturePart
from training.nets.shapes import DOT, SplitShape
from training.nets.split_student import SplitStudent, new_split_student

IDS = torch.tensor([[2, 5, 6, 7, 8, 9, 3], [2, 5, 3, 0, 0, 0, 0], [2, 3, 0, 0, 0, 0, 0], [2, 9, 8, 7, 6, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]])


def with_items(backbone: str) -> SplitStudent:
    torch.manual_seed(0)
    student = new_split_student(new_cross_encoder(backbone, 1), SplitShape(3, 16), (0, 2, 3, 7))
    for parameter in student.scorer.slot.parameters():
        torch.nn.init.normal_(parameter)
    return student.eval()


# States are whole numbers up to 127.
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1.0), pytest.param("fp16", 2.0, marks=pytest.mark.slow)])
def test_an_encoder_graph_makes_states_as_torch_does(
    backbone: str, tmp_path: Path, precision: str, tolerance: float
) -> None:
    student = with_items(backbone)
    with torch.inference_mode():
        wanted = EncoderGraph(student)(IDS, MASK)[1]
    part = traced(student.half() if precision == "fp16" else student)[0]
    write_onnx(part, tmp_path / "encoder.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "encoder.onnx", providers=["CPUExecutionProvider"])
    found = session.run(["slots"], {"input_ids": IDS.numpy(), "attention_mask": MASK.numpy()})[0]
    np.testing.assert_allclose(found.astype(np.float32), wanted.numpy(), rtol=0, atol=tolerance)


SLOW = pytest.mark.slow
FEATURES = Features(
    (
        Feature(name="price", unit="EUR", low=0, high=200, default=50),
        Feature(name="km", unit="km", low=0, high=9, default=3),
    )
)


@pytest.mark.parametrize(
    ("shape", "precision", "tolerance"),
    [
        (DOT, "fp32", 1e-5),
        (DOT, "int8", 1e-5),
        pytest.param(DOT, "fp16", 2e-2, marks=SLOW),
        pytest.param(SplitShape(3, 16), "fp32", 1e-3, marks=SLOW),
        pytest.param(SplitShape(3, 16), "fp16", 5e-2, marks=SLOW),
    ],
)
def test_the_score_graph_of_a_student_with_features_scores_as_torch_does(
    backbone: str, tmp_path: Path, shape: SplitShape, precision: str, tolerance: float
) -> None:
    """For several members and candidates. int8 leaves the part of features as it is."""
    student = featured(backbone, shape)
    part = traced(student.half() if precision == "fp16" else student)[1]
    write_onnx(part, tmp_path / "score.onnx")
    if precision == "int8":
        write_int8(tmp_path / "score.onnx", tmp_path / "score.onnx")
    session = Session.open((tmp_path / "score.onnx").read_bytes(), "cpu", 1)
    assert session.input_names == tuple(part.inputs)
    inputs = {name: example for name, (example, _) in part.inputs.items()}
    inputs["features"] = torch.rand(2, 3, 2).to(inputs["features"].dtype)
    vector = inputs["vector"]
    inputs["vector"] = torch.nn.functional.normalize(torch.randn_like(vector.float()), dim=-1).to(vector.dtype)
    with torch.inference_mode():
        wanted = part.module(**inputs).float().numpy()
    found = session.run({name: value.numpy() for name, value in inputs.items()})
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
    inputs["features"][0, 1] = 1 - inputs["features"][0, 1]
    other = session.run({name: value.numpy() for name, value in inputs.items()})
    differs = np.abs(other - found).max(axis=-1) > tolerance
    assert differs.tolist() == [[False, True, False], [False, False, False]]


def test_only_a_student_with_features_has_a_graph_that_reads_them(backbone: str) -> None:
    plain = new_split_student(new_cross_encoder(backbone, 2), DOT).eval()
    of_encoder, of_score = zip(traced(plain), traced(featured(backbone, DOT)), strict=True)
    assert list(of_encoder[0].inputs) == list(of_encoder[1].inputs)
    assert list(of_score[0].inputs) == ["vector", "slots"]
    assert list(of_score[1].inputs) == ["vector", "slots", "features"]


def featured(backbone: str, shape: SplitShape) -> SplitStudent:
    """A student whose features have random effects."""
    torch.manual_seed(0)
    student = new_split_student(new_cross_encoder(backbone, 2), shape).eval()
    student.feature_part = FeaturePart(FEATURES, 2)
    for parameter in student.feature_part.parameters():
        torch.nn.init.normal_(parameter)
    return student


def test_torch_and_a_scorer_of_graphs_read_the_features_of_a_pair(backbone: str, encoder: TextEncoder) -> None:
    """Without features a pair has the defaults."""
    student = featured(backbone, DOT)
    member, other = encoder.candidates(["red lamp", "blue chair"])
    rows = (None, FEATURES.defaults, np.array([0.9, 0.3], np.float32))
    found = student.reference_logits(encoder, [Pair(member, other, row) for row in rows])
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[1], found[2], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 0.1), ("fp16", 0.3), ("int8", 2.0)])
def test_the_graphs_of_a_student_with_items_score_as_torch_does(
    backbone: str, encoder: TextEncoder, tmp_path: Path, precision: str, tolerance: float
) -> None:
    student = with_items(backbone)
    for parameter in student.scorer.parameters():
        parameter.data += torch.randn_like(parameter) * 0.05
    texts = ["senior baker. dough, ovens", "nurse", "a", ""]
    pairs = [Pair(encoder.member(one), encoder.candidates([two])[0]) for one in texts[:2] for two in texts]
    for each in ("fp32", precision):
        write_graphs(student, tmp_path, each)
    scorer = open_graphs(student, tmp_path, precision, encoder).scorer
    assert isinstance(scorer, SplitScorer)
    assert scorer.encode_candidates([pairs[0].candidate]).dtype == np.int8
    wanted = student.reference_logits(encoder, pairs)
    np.testing.assert_allclose(scorer.pair_logits(pairs), wanted, rtol=0, atol=tolerance)
