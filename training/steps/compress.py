"""Step `compress`: student -> ONNX graphs in fp32, fp16 and int8, each compared with torch; and variants.

fp32 and fp16 must equal torch. int8 and pruned variants are judged by how they rank (`compression_report.py`, step
`evaluate`), never by their largest error.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.features import NO_FEATURES
from training.compression.compression_report import measure_variants
from training.compression.onnx_export import check_parity
from training.compression.onnx_inference import open_graphs, write_graphs
from training.data.lists import read_lists
from training.files import write_json
from training.nets.checkpoints import load_student
from training.nets.inference import encode_lists
from training.nets.split_student import SplitStudent
from training.recipe import PruningPlan, TextPlan
from training.step_runner import Resources, Step
from training.steps.start import text_encoder

PROBE_LISTS = 12
PROBE_PAIRS = 200
TOLERANCES = {"fp32": 1e-4, "fp16": 5e-2, "int8": None}
SLOTS_TOLERANCE = 5e-3
"""For a split student in fp32. Its slots are f16 between two graphs, which moves a cosine by at most 2^-11, and a logit
by 20 times that: 1e-2.
"""


@dataclass(frozen=True)
class CompressPlan:
    """The heads with gains, and which variants to measure."""

    heads: tuple[str, ...]
    text: TextPlan
    pruning: PruningPlan | None
    seed: int


@dataclass(frozen=True)
class CompressInputs:
    data: Path
    distill: Path


def compress(plan: CompressPlan, inputs: CompressInputs, out: Path, resources: Resources) -> None:
    """Write the student's graphs in each precision, `parity.json` and `variants.json`.

    Raises ExportError when a graph differs.
    """
    encoder = text_encoder(plan.text, resources)
    short = text_encoder(plan.text, resources, plan.pruning.tokens if plan.pruning else None)
    model, _ = load_student(inputs.distill)
    model.cpu().eval()
    features = model.features if isinstance(model, SplitStudent) else NO_FEATURES
    probed = read_lists(inputs.data, plan.heads, "valid")[:PROBE_LISTS]
    pairs = encode_lists(encoder, probed, features)[:PROBE_PAIRS]
    reference = model.reference_logits(encoder, pairs)
    for precision in TOLERANCES:
        write_graphs(model, out, precision)
    parity = {}
    tolerances = {**TOLERANCES, "fp32": SLOTS_TOLERANCE} if isinstance(model, SplitStudent) else TOLERANCES
    for precision, tolerance in tolerances.items():
        scorer = open_graphs(model, out, precision, encoder).scorer
        found = np.concatenate([scorer.pair_logits(pairs[start : start + 7]) for start in range(0, len(pairs), 7)])
        parity[precision] = dataclasses.asdict(check_parity(precision, found, reference, tolerance=tolerance))
    write_json(out / "parity.json", parity)
    measure_variants(plan.pruning, plan.heads, encoder, short, inputs.data, model, out, plan.seed)


COMPRESS = Step(
    "compress",
    lambda recipe: CompressPlan(recipe.head_names.gains, recipe.text, recipe.pruning, recipe.seed),
    CompressInputs,
    compress,
)
