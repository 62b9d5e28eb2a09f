"""Step `compress`: student -> ONNX graphs in fp32, fp16 and int8, each held against torch; and variants to compare.

fp32 and fp16 must equal torch; int8 and what was pruned is judged by how it ranks (`variants.py`, step `evaluate`),
never by its largest error.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from models.text import TextEncoder
from training.compression.compression_report import measure_variants
from training.compression.onnx_export import check_parity
from training.compression.onnx_inference import open_graphs, write_graphs
from training.data.lists import read_lists
from training.nets.checkpoints import load_student
from training.nets.inference import encode_lists
from training.recipe import Recipe

PROBE_LISTS = 12
PROBE_PAIRS = 200
TOLERANCES = {"fp32": 1e-4, "fp16": 5e-2, "int8": None}
SLOTS_TOLERANCE = 5e-3
"""Of a split student in fp32: between two graphs its slots are kept in f16, which at worst moves a cosine by 2^-11 and
a logit by 20 times that: 1e-2.
"""


def compress(recipe: Recipe, encoder: TextEncoder, short: TextEncoder, data: Path, student: Path, out: Path) -> None:
    """Write the student's graphs in each precision, `parity.json` and `variants.json` to `out`; pruned variants learn
    from texts as `short` cuts them.

    Raises ExportError when a graph differs.
    """
    model, _ = load_student(student)
    model.cpu().eval()
    pairs = encode_lists(encoder, read_lists(data, recipe.policy_heads, "valid")[:PROBE_LISTS])[:PROBE_PAIRS]
    reference = model.reference_logits(encoder, pairs)
    for precision in TOLERANCES:
        write_graphs(model, out, precision)
    parity = {}
    tolerances = TOLERANCES if recipe.split is None else {**TOLERANCES, "fp32": SLOTS_TOLERANCE}
    for precision, tolerance in tolerances.items():
        scorer = open_graphs(model, out, precision, encoder)
        found = np.concatenate([scorer.pair_logits(pairs[start : start + 7]) for start in range(0, len(pairs), 7)])
        parity[precision] = dataclasses.asdict(check_parity(precision, found, reference, tolerance=tolerance))
    (out / "parity.json").write_text(json.dumps(parity, indent=2) + "\n", encoding="utf-8")
    measure_variants(recipe, encoder, short, data, model, out)
