"""Graphs of a split student equal torch, over rows of several lengths, for every pooling."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime
import pytest
import torch

from training.compression.onnx_export import EncoderGraph, traced, write_onnx
from training.nets.cross_encoder import new_cross_encoder
from training.nets.shapes import Pooling, SplitShape
from training.nets.split_student import SplitStudent, new_split_student

IDS = torch.tensor([[2, 5, 6, 7, 8, 9, 3], [2, 5, 3, 0, 0, 0, 0], [2, 3, 0, 0, 0, 0, 0], [2, 9, 8, 7, 6, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]])


def new_student(backbone: str, pooling: Pooling) -> SplitStudent:
    torch.manual_seed(0)
    student = new_split_student(new_cross_encoder(backbone, 1), SplitShape(3, 1, pooling=pooling))
    for parameter in student.scorer.pooling.parameters():
        torch.nn.init.normal_(parameter)
    return student.eval()


CASES = [(pooling, *each) for pooling in get_args(Pooling) for each in (("fp32", 1e-4), ("fp16", 2e-2))]
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
