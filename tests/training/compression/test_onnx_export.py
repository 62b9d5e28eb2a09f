"""Graphs of a split student equal torch, over rows of several lengths, for every pooling."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime
import pytest
import torch

from models.scorers.split import SplitScorer
from models.text import Pair, TextEncoder
from training.compression.onnx_export import EncoderGraph, traced, write_onnx
from training.compression.onnx_inference import open_graphs, write_graphs
from training.nets.cross_encoder import new_cross_encoder
from training.nets.shapes import Pooling, SplitShape
from training.nets.split_student import SplitStudent, new_split_student

IDS = torch.tensor([[2, 5, 6, 7, 8, 9, 3], [2, 5, 3, 0, 0, 0, 0], [2, 3, 0, 0, 0, 0, 0], [2, 9, 8, 7, 6, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]])


def new_student(backbone: str, pooling: Pooling) -> SplitStudent:
    torch.manual_seed(0)
    shape = SplitShape(3, 1, pooling=pooling, width=16 if pooling == "items" else None)
    student = new_split_student(new_cross_encoder(backbone, 1), shape, (0, 2, 3, 7))
    for parameter in (student.scorer.slot if pooling == "items" else student.scorer.pooling).parameters():
        torch.nn.init.normal_(parameter)
    return student.eval()


CASES = [
    (pooling, *each)
    for pooling in get_args(Pooling)
    # Rows of items are whole numbers up to 127.
    for each in (("fp32", 1.0 if pooling == "items" else 1e-4), ("fp16", 2.0 if pooling == "items" else 2e-2))
]
OTHERS = [pytest.param(*case, marks=pytest.mark.slow) for case in CASES[1:]]


@pytest.mark.parametrize(("pooling", "precision", "tolerance"), [CASES[0], *OTHERS])
def test_an_encoder_graph_pools_as_torch_does(
    backbone: str, tmp_path: Path, pooling: Pooling, precision: str, tolerance: float
) -> None:
    student = new_student(backbone, pooling)
    with torch.inference_mode():
        wanted = EncoderGraph(student)(IDS, MASK)[1]
    part = traced(student.half() if precision == "fp16" else student)[0]
    write_onnx(part, tmp_path / "encoder.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "encoder.onnx", providers=["CPUExecutionProvider"])
    found = session.run(["slots"], {"input_ids": IDS.numpy(), "attention_mask": MASK.numpy()})[0]
    np.testing.assert_allclose(found.astype(np.float32), wanted.numpy(), rtol=0, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 0.1), ("fp16", 0.3), ("int8", 2.0)])
def test_the_graphs_of_a_student_with_items_score_as_torch_does(
    backbone: str, encoder: TextEncoder, tmp_path: Path, precision: str, tolerance: float
) -> None:
    student = new_student(backbone, "items")
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
