"""Step `export`: graphs, tokenizer, calibration and figures -> a bundle that the service can load.

The bundle is loaded back and must give its known answers before the step counts as done.
"""

from __future__ import annotations

import datetime
import hashlib
import itertools
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from models.bulk.model import opened
from models.bulk.reference import measured_reference
from models.bundle.files import Bundle, save_bundle
from models.bundle.manifest import Graph, KnownAnswer, Manifest, TextSpec
from models.bundle.reference import Reference
from models.features import Feature, Features
from models.heads import Head, calibrate
from models.loading import check_known_answers, open_encoder, open_scorer
from models.text import Pair, TextEncoder
from training.compression.onnx_export import traced
from training.data.features import feature_inputs
from training.data.lists import SPLITS, CandidateList, read_lists
from training.data.soft_labels import SoftColumns
from training.evaluation.feature_effects import read_effects
from training.evaluation.model_card import model_card
from training.files import digest, read_json
from training.fingerprint import commit
from training.nets.checkpoints import Student, check_model_stamp, load_student
from training.nets.cross_encoder import read_tokenizer
from training.nets.split_student import SplitStudent
from training.policy.parser import read_policy
from training.policy.policy import Policy
from training.recipe import ExportPlan, HeadPlan, TextPlan
from training.step_runner import Resources, Step
from training.steps.evaluate import EvaluateInputs
from training.steps.start import text_encoder

REFERENCE_PAIRS = 1000
SHIPPED = (("int8", "cpu", 0.1), ("fp16", "cuda", 0.02))
"""Which graph serves which device, and the tolerance of its known answers: probabilities against torch's. int8 moves a
logit by .16 (root mean square over validation pairs), so a probability by up to a quarter of that, plus its spread.
"""


@dataclass(frozen=True)
class BundlePlan:
    """Name, version and description of the bundle."""

    name: str
    version: str
    heads: tuple[HeadPlan, ...]
    text: TextPlan
    export: ExportPlan
    seed: int
    features: tuple[Feature, ...] = ()


@dataclass(frozen=True)
class BundleInputs(EvaluateInputs):
    """All earlier steps: the manifest names how each was made."""

    policy: Path
    golden: Path
    annotate: Path
    evaluate: Path


def export(plan: BundlePlan, inputs: BundleInputs, out: Path, resources: Resources) -> None:
    """Write the bundle folder, check it by loading it, and note its version in `bundle.txt`.

    Raises BundleError when it does not give its known answers, PolicyMismatch for a teacher of another policy.
    """
    policy = read_policy(inputs.policy / "policy.md")
    check_model_stamp(inputs.teach, policy)
    model, calibrations = load_student(inputs.distill)
    model.cpu().eval()
    heads = tuple(
        Head(
            name=each.name,
            meaning=each.meaning,
            calibration=calibrations[each.name],
            answerable=calibrations[SoftColumns.of(each.name).answerable] if each.answerable else None,
        )
        for each in plan.heads
    )
    card, text = plan.export.card, plan.text
    manifest = Manifest(
        format=1,
        kind="split" if isinstance(model, SplitStudent) else "cross",
        name=plan.name,
        version=plan.version,
        policy=policy.label,
        created=_today(),
        licence=card.licence,
        attributions=card.attributions,
        score_meaning="each head is a calibrated probability; the score is their blend, in [0, 1]",
        text=TextSpec(
            tokenizer="tokenizer.json",
            member_tokens=text.member_tokens,
            candidate_tokens=text.candidate_tokens,
            layout="texts",
            template=text.template,
        ),
        features=plan.features,
        heads=heads,
        default_blend={head.name: head.blend for head in plan.heads},
        graphs=graphs_to_ship(model, plan.export),
        known_answers=_known_answers(plan, model, text_encoder(text, resources), heads),
        training=_provenance(plan, policy, inputs),
        figures=read_json(inputs.evaluate / "report.json"),
        files={},
    )
    contents = {name: (inputs.compress / name).read_bytes() for name in {graph.file for graph in manifest.graphs}}
    contents["tokenizer.json"] = read_tokenizer(resources.model(text.backbone)).encode()
    bundle = f"`{plan.name}`, version {plan.version}"
    kappas = read_json(inputs.distill / "kappa.json") if (inputs.distill / "kappa.json").exists() else {}
    effects = read_effects(inputs.distill) if plan.features else ()
    report = (inputs.evaluate / "report.md").read_text(encoding="utf-8")
    contents["card.md"] = model_card(bundle, card, plan.heads, policy, report, kappas, effects).encode()
    saved = save_bundle(resources.bundle, manifest, contents, overwrite=True)
    check_known_answers(saved, open_scorer(saved, "cpu", threads=2), open_encoder(saved), "cpu")
    reference = _reference(saved, read_lists(inputs.data, [], "valid"), plan.seed)
    save_bundle(resources.bundle, manifest.model_copy(update={"reference": reference}), contents, overwrite=True)
    (out / "bundle.txt").write_text(f"{resources.bundle.name} {plan.version}\n", encoding="utf-8")


def _today() -> str:
    """Today, or the day of `SOURCE_DATE_EPOCH`, by which an export can be repeated (reproducible-builds.org)."""
    seconds = float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).date().isoformat()


def graphs_to_ship(model: Student, plan: ExportPlan) -> tuple[Graph, ...]:
    """Those of the plan's devices, each in the precision that serves it."""
    return tuple(
        Graph(file=f"{each.stem}.{precision}.onnx", part=part, precision=precision, device=device, tolerance=tolerance)
        for precision, device, tolerance in SHIPPED
        if plan.gpu_graph or device == "cpu"
        for each in traced(model)
        for part in each.parts
    )


def _known_answers(
    plan: BundlePlan, model: Student, encoder: TextEncoder, heads: tuple[Head, ...]
) -> tuple[KnownAnswer, ...]:
    """Torch's own fp32 probabilities of the plan's example pairs: every second one with features, at their highest."""
    answers = []
    declared = Features(plan.features)
    for number, (member_fields, candidate_fields) in enumerate(plan.export.examples):
        member = plan.text.template.render_member(member_fields)
        candidate = plan.text.template.render_candidate(candidate_fields)
        features = {each.name: each.high for each in plan.features} if number % 2 else {}
        pair = Pair(encoder.member(member), encoder.candidates([candidate])[0], declared.read([features]).values[0])
        probabilities = tuple(calibrate(heads, model.reference_logits(encoder, [pair]))[0].tolist())
        answers.append(KnownAnswer(member=member, candidate=candidate, features=features, probabilities=probabilities))
    return tuple(answers)


def _reference(bundle: Bundle, lists: list[CandidateList], seed: int) -> Reference | None:
    """Scores of the shipped graph and texts of about REFERENCE_PAIRS pairs, in random whole lists; None without any."""
    random.Random(seed).shuffle(lists)
    before = itertools.accumulate((len(each) for each in lists), initial=0)
    drawn = [each for each, pairs in zip(lists, before, strict=False) if pairs < REFERENCE_PAIRS]
    if not drawn:
        return None
    model = opened(bundle, "cpu", threads=2, batch=32)
    inputs = [feature_inputs(model.features, [each]) for each in drawn]
    return measured_reference(model, [(each.member, each.candidates) for each in drawn], inputs)


def _provenance(plan: BundlePlan, policy: Policy, inputs: BundleInputs) -> dict[str, Any]:
    """How each step's result was made, and the reasons for results that were accepted despite a change."""
    records = {folder.name: read_json(folder / "step.json") for folder in vars(inputs).values()}
    kept = ("fingerprint", "seconds", "accepted", "machine")
    return {
        "recipe": plan.name,
        "policy": {"stamp": policy.stamp, "sha256": policy.sha256},
        "seed": plan.seed,
        "commit": commit(),
        "steps": {name: {key: each[key] for key in kept if key in each} for name, each in records.items()},
        "versions": records["data"]["versions"],
        "sources": {name: each["sources"] for name, each in records.items() if each.get("sources")},
        "data": _data_facts(inputs.data / "pairs.parquet"),
        "parity": read_json(inputs.compress / "parity.json"),
    }


def _data_facts(path: Path) -> dict[str, Any]:
    """Digest of the pairs that the student learnt from; rows, lists, and a digest of the lists' ids of each split."""
    pairs = pl.read_parquet(path, columns=["split", "list_id"])
    splits = {}
    for split in SPLITS:
        ids = pairs.filter(pl.col("split") == split)["list_id"]
        names = "\n".join(sorted(set(ids)))
        splits[split] = {
            "rows": len(ids),
            "lists": ids.n_unique(),
            "lists_sha256": hashlib.sha256(names.encode()).hexdigest(),
        }
    return {"sha256": digest(path), "rows": pairs.height, "splits": splits}


EXPORT = Step(
    "export",
    lambda recipe: BundlePlan(
        recipe.name, recipe.version, recipe.heads, recipe.text, recipe.export, recipe.seed, recipe.features
    ),
    BundleInputs,
    export,
    reads_records=True,
)
