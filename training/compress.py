"""Step `compress`: student -> ONNX graphs in fp32, fp16 and int8, each held against torch.

fp32 and fp16 must equal torch; int8 is judged by how it ranks (step `evaluate`), never by its largest error.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from models.text import Pair, TextEncoder
from training.cross_encoder import CrossEncoder, encode_lists
from training.data import read_lists
from training.graphs import check_parity, write_int8, write_onnx
from training.recipe import Recipe
from training.store import load_model

PROBE_LISTS = 12
FP32_TOLERANCE = 1e-4
FP16_TOLERANCE = 5e-2


def compress(recipe: Recipe, encoder: TextEncoder, data: Path, student: Path, out: Path) -> None:
    """Write `student.{fp32,fp16,int8}.onnx` and `parity.json` to `out`. Raises ExportError when a graph differs."""
    model, _ = load_model(student)
    model.cpu().eval()
    pairs = encode_lists(encoder, read_lists(data, recipe.head_names, "valid")[:PROBE_LISTS])[:200]
    reference = _reference(model, encoder, pairs)
    graphs = {precision: out / f"student.{precision}.onnx" for precision in ("fp32", "fp16", "int8")}
    write_onnx(model, graphs["fp32"])
    write_onnx(copy.deepcopy(model).half(), graphs["fp16"])
    write_int8(graphs["fp32"], graphs["int8"])
    tolerances = {"fp32": FP32_TOLERANCE, "fp16": FP16_TOLERANCE, "int8": None}
    parity = {
        name: dataclasses.asdict(check_parity(path, reference, pairs, encoder, tolerance=tolerances[name]))
        for name, path in graphs.items()
    }
    (out / "parity.json").write_text(json.dumps(parity, indent=2) + "\n", encoding="utf-8")


@torch.inference_mode()
def _reference(model: CrossEncoder, encoder: TextEncoder, pairs: Sequence[Pair]) -> np.ndarray:
    """Torch's own fp32 logits, without autocast."""
    arrays = encoder.collate(pairs)
    logits: torch.Tensor = model(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    return logits.numpy()
