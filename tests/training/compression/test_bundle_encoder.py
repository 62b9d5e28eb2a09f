"""The encoder in a bundle is a start of training: its weights come back from the fp16 graph."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from models.text import TextEncoder
from training.compression.bundle_encoder import write_bundle_encoder
from training.compression.onnx_inference import write_graphs
from training.errors import UserError
from training.nets.cross_encoder import new_cross_encoder
from training.nets.inference import to_tensors
from training.nets.shapes import DOT
from training.nets.split_student import new_split_student


def test_the_encoder_of_a_bundle_encodes_as_the_student_did(
    backbone: str, encoder: TextEncoder, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    start = new_cross_encoder(backbone, 1).eval()
    for parameter in start.backbone.parameters():  # the exporter keeps one name of biases that are equal, as zeros are
        parameter.data += torch.randn_like(parameter) * 0.05
    write_graphs(new_split_student(start, DOT), tmp_path, "fp16")
    shutil.copy(Path(backbone) / "tokenizer.json", tmp_path)
    again = new_cross_encoder(write_bundle_encoder(tmp_path, tmp_path / "start", attention_heads=4), 1).eval()
    inputs = to_tensors(encoder.collate_sides(encoder.candidates(["baker oven", "nurse"])), torch.device("cpu"))
    with torch.inference_mode():
        torch.testing.assert_close(again.embed(**inputs), start.embed(**inputs), rtol=0, atol=2e-3)


def test_a_bundle_without_that_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"encoder\.fp16\.onnx is missing"):
        write_bundle_encoder(tmp_path, tmp_path / "start")
