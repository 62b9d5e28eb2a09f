"""Student -> ONNX graphs: fp32, fp16 and int8, each checked against torch with batches of several rows and
ragged masks.

Opset 20 has Gelu and LayerNormalization as single operators and none of the composite ones that break for batches > 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from models.cross import CrossScorer
from models.session import Session
from models.text import Pair, TextEncoder

OPSET = 20
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class ExportError(Exception):
    """A graph that does not do what the torch model does; the sentence gives the worst difference."""


@dataclass(frozen=True)
class Parity:
    """How far a graph's logits are from torch's over the probe pairs."""

    worst: float
    order_kept: float


def write_onnx(model: nn.Module, path: Path) -> None:
    """Export with dynamic batch and length; one self-contained file.

    `model(input_ids, attention_mask, token_type_ids)` gives logits f32[N, H].
    """
    ids = torch.ones(3, 16, dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    names = {0: "batch", 1: "length"}
    program = torch.onnx.export(
        model.eval(),
        (ids, mask, torch.zeros_like(ids)),
        dynamo=True,
        opset_version=OPSET,
        input_names=list(INPUTS),
        output_names=["logits"],
        dynamic_shapes=(names, names, names),
        external_data=False,
        verbose=False,
    )
    assert program is not None
    program.save(path, external_data=False)


def write_int8(fp32: Path, path: Path) -> None:
    """Dynamic quantisation with signed weights, per channel: activations are quantised as they come."""
    plain = onnx.load(fp32)
    # The quantiser transposes weights and then trips over the shapes that the exporter noted for them; it
    # infers its own.
    del plain.graph.value_info[:]
    quantize_dynamic(plain, path, weight_type=QuantType.QInt8, per_channel=True, reduce_range=False)


def check_parity(
    path: Path, reference: np.ndarray, pairs: Sequence[Pair], encoder: TextEncoder, *, tolerance: float | None
) -> Parity:
    """Compare a graph with torch's logits f32[pairs, H], in batches of 7; raises ExportError beyond `tolerance`."""
    scorer = CrossScorer(Session.open(path.read_bytes(), "cpu", 2), encoder, ())
    found = np.concatenate([scorer.logits(pairs[start : start + 7]) for start in range(0, len(pairs), 7)])
    worst = float(np.abs(found - reference).max())
    if tolerance is not None and not worst <= tolerance:
        raise ExportError(f"{path.name}: logits differ from torch by up to {worst:.2e}, more than {tolerance:.0e}")
    gaps = reference[:, None, 0] - reference[None, :, 0]
    clear = np.abs(gaps) > 0.5
    agree = np.sign(gaps) == np.sign(found[:, None, 0] - found[None, :, 0])
    return Parity(worst, float(agree[clear].mean()) if clear.any() else 1.0)
