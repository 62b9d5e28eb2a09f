"""A student -> ONNX graphs in fp32 and fp16, each compared with torch on batches of several rows and ragged masks.

Opset 20 has Gelu and LayerNormalization as single operators, and none of the composite ones that break for batches > 1.
Knows no integer precision: see `quantization.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from models.bundle.manifest import Part
from training.errors import UserError
from training.nets.checkpoints import Student
from training.nets.cross_encoder import CrossEncoder
from training.nets.split_student import SplitStudent

OPSET = 20
PAIR_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
NAMES = {0: "batch", 1: "length"}


class ExportError(UserError):
    """A graph whose logits differ from the torch model's; the message gives the largest difference."""


@dataclass(frozen=True)
class Parity:
    """A graph's logits compared with torch's over the probe pairs: largest difference, and share of equal orders."""

    worst: float
    order_kept: float


@dataclass(frozen=True)
class Traced:
    """A module to export: the file's stem, the bundle's parts that it serves, example inputs by name with their dynamic
    axes, and the names of its outputs.
    """

    stem: str
    parts: tuple[Part, ...]
    module: nn.Module
    inputs: dict[str, tuple[Tensor, dict[int, str]]]
    outputs: tuple[str, ...]


class EncoderGraph(nn.Module):
    """A text's ids -> its outputs as a member and as a candidate.

    Both sides share the encoder's weights, and the outputs that only one side needs cost almost nothing, so one file
    is both the member's graph and the candidate's.
    """

    def __init__(self, student: SplitStudent) -> None:
        super().__init__()
        self.student = student

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """i64[N, T] each -> vector [N, X], slots [N, S, D].

        With items also keys_values [N, 1, 2, R, T, K], and slots are i8.
        """
        encoding = self.student.encode(input_ids, attention_mask)
        vector_NX = self.student.member(encoding, attention_mask)
        slots_NSD = self.student.slots(encoding, attention_mask)
        if self.student.shape.has_items:
            slots_NSD = slots_NSD.to(torch.int8)
        keys_values = self.student.keys_values(encoding, attention_mask)
        return (vector_NX, slots_NSD) if keys_values is None else (vector_NX, slots_NSD, keys_values)


class ScoreGraph(nn.Module):
    """A member's state and candidates' slots -> logits."""

    def __init__(self, student: SplitStudent) -> None:
        super().__init__()
        self.scorer = student.scorer

    def forward(
        self, vector: Tensor, slots: Tensor, keys_values: Tensor | None = None, member_mask: Tensor | None = None
    ) -> Tensor:
        """Vector [M, X], slots [M, C, S, D], keys_values [M, 1, 2, R, T, K], member_mask i64[M, T] -> f32[M, C, H]."""
        logits_MCH: Tensor = self.scorer(vector, slots, keys_values, member_mask)
        return logits_MCH.float()


class FeaturedScoreGraph(nn.Module):
    """A member's state, candidates' slots and their features -> logits."""

    def __init__(self, student: SplitStudent) -> None:
        super().__init__()
        self.texts = ScoreGraph(student)
        self.feature_part = student.feature_part

    def forward(
        self,
        vector: Tensor,
        slots: Tensor,
        features: Tensor,
        keys_values: Tensor | None = None,
        member_mask: Tensor | None = None,
    ) -> Tensor:
        """As `ScoreGraph`, with features [M, C, F] from 0 to 1."""
        assert self.feature_part is not None
        logits_MCH: Tensor = self.feature_part(self.texts(vector, slots, keys_values, member_mask), features)
        return logits_MCH.float()


def traced(student: Student) -> list[Traced]:
    """The modules of a student to export, in its own precision."""
    if isinstance(student, CrossEncoder):
        return [pair_graph(student)]
    outputs = ("vector", "slots", "keys_values") if student.shape.has_items else ("vector", "slots")
    inputs = _texts(("input_ids", "attention_mask"))
    return [Traced("encoder", ("member", "candidate"), EncoderGraph(student), inputs, outputs), _score(student)]


def pair_graph(model: nn.Module) -> Traced:
    """Any module from whole pairs, i64[N, T] each, to logits f32[N, H]."""
    return Traced("student", ("pair",), model, _texts(PAIR_INPUTS), ("logits",))


def _texts(names: tuple[str, ...]) -> dict[str, tuple[Tensor, dict[int, str]]]:
    ids = torch.ones(3, 16, dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    examples = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    return {name: (examples[name], NAMES) for name in names}


def _score(student: SplitStudent) -> Traced:
    """Example inputs are what the student's own encoder gives."""
    members, candidates = 2, 3
    ids = torch.ones(members * candidates, 5, dtype=torch.long)
    with torch.inference_mode():
        vector, slots, *keys_values = (each.clone() for each in EncoderGraph(student)(ids, torch.ones_like(ids)))
    inputs = {
        "vector": (vector[:members], {0: "members"}),
        "slots": (slots.unflatten(0, (members, candidates)), {0: "members", 1: "candidates"}),
    }
    if student.features:
        rows = torch.zeros(members, candidates, len(student.features), dtype=vector.dtype)
        inputs["features"] = (rows, {0: "members", 1: "candidates"})
    if keys_values:
        inputs["keys_values"] = (keys_values[0][:members], {0: "members", 4: "length"})
        inputs["member_mask"] = (torch.ones_like(ids[:members]), {0: "members", 1: "length"})
    graph = FeaturedScoreGraph(student) if student.features else ScoreGraph(student)
    return Traced("score", ("score",), graph, inputs, ("logits",))


def write_onnx(part: Traced, path: Path) -> None:
    """Export with dynamic sizes to one self-contained file without traces of the machine that made it."""
    program = torch.onnx.export(
        part.module.eval(),
        tuple(example for example, _ in part.inputs.values()),
        dynamo=True,
        opset_version=OPSET,
        input_names=list(part.inputs),
        output_names=list(part.outputs),
        dynamic_shapes=tuple(axes for _, axes in part.inputs.values()),
        external_data=False,
        verbose=False,
    )
    assert program is not None
    program.save(path, external_data=False)
    onnx.save(without_traces(onnx.load(path)), path)


def without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without the exporter's notes, which hold stack traces with source paths in every node."""
    graph = model.graph
    for noted in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        noted.ClearField("doc_string")
        noted.ClearField("metadata_props")
    return model


def check_parity(name: str, found: np.ndarray, reference: np.ndarray, *, tolerance: float | None) -> Parity:
    """Compare a graph's logits f32[pairs, H] with torch's; raises ExportError beyond `tolerance`."""
    worst = float(np.abs(found - reference).max())
    if tolerance is not None and not worst <= tolerance:
        raise ExportError(f"{name}: logits differ from torch by up to {worst:.2e}, more than {tolerance:.0e}")
    gaps = reference[:, None, 0] - reference[None, :, 0]
    clear = np.abs(gaps) > 0.5
    agree = np.sign(gaps) == np.sign(found[:, None, 0] - found[None, :, 0])
    return Parity(worst, float(agree[clear].mean()) if clear.any() else 1.0)
