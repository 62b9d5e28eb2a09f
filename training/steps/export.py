"""Step `export`: graphs, tokenizer, calibration and figures -> a bundle that the service can load.

The bundle is loaded back and must give its known answers before the step counts as done.
"""

from __future__ import annotations

import datetime
import json
import subprocess
from pathlib import Path
from typing import Any

from models.bundle.files import Bundle, save_bundle
from models.bundle.manifest import Graph, KnownAnswer, Manifest, TextSpec
from models.heads import Head, calibrate
from models.loading import check_known_answers, open_encoder, open_scorer
from models.text import Pair, TextEncoder
from training.compression.onnx_export import traced
from training.evaluation.model_card import model_card
from training.nets.checkpoints import Student, load_student
from training.policy.policy import Policy
from training.recipe import Recipe

# Which graph serves which device, and how far its known answers may be from torch's (probabilities). int8 moves a logit
# by .16 (root mean square over validation pairs), and a probability by up to a quarter of that and its spread.
SHIPPED = (("int8", "cpu", 0.1), ("fp16", "cuda", 0.02))


def export(
    recipe: Recipe, encoder: TextEncoder, tokenizer: str, policy: Policy, folders: dict[str, Path], bundle: Path
) -> Bundle:
    """Write the bundle folder and check it by loading it.

    Raises BundleError when it does not give its known answers.
    """
    model, calibrations = load_student(folders["distill"])
    model.cpu().eval()
    heads = tuple(Head(name=h.name, meaning=h.meaning, calibration=calibrations[h.name]) for h in recipe.heads)
    graphs = tuple(
        Graph(file=f"{each.stem}.{precision}.onnx", part=part, precision=precision, device=device, tolerance=tolerance)
        for precision, device, tolerance in SHIPPED
        for each in traced(model)
        for part in each.parts
    )
    report = json.loads((folders["evaluate"] / "report.json").read_text(encoding="utf-8"))
    manifest = Manifest(
        format=1,
        kind="cross" if recipe.split is None else "split",
        name=recipe.name,
        version=recipe.version,
        policy=policy.label,
        created=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        licence=recipe.card.licence,
        attributions=recipe.card.attributions,
        score_meaning="each head is a calibrated probability; the score is their blend, in [0, 1]",
        text=TextSpec(
            tokenizer="tokenizer.json",
            member_tokens=recipe.member_tokens,
            candidate_tokens=recipe.candidate_tokens,
            layout="texts",
            template=recipe.template,
        ),
        heads=heads,
        default_blend={head.name: head.blend for head in recipe.heads},
        graphs=graphs,
        known_answers=_known_answers(recipe, model, encoder, heads),
        training=_provenance(recipe, policy, folders),
        figures=report,
        files={},
    )
    contents = {name: (folders["compress"] / name).read_bytes() for name in {graph.file for graph in graphs}}
    contents["tokenizer.json"] = tokenizer.encode()
    contents["card.md"] = model_card(
        recipe, policy, (folders["evaluate"] / "report.md").read_text(encoding="utf-8")
    ).encode()
    saved = save_bundle(bundle, manifest, contents, overwrite=True)
    check_known_answers(saved, open_scorer(saved, "cpu", threads=2), open_encoder(saved), "cpu")
    return saved


def _known_answers(
    recipe: Recipe, model: Student, encoder: TextEncoder, heads: tuple[Head, ...]
) -> tuple[KnownAnswer, ...]:
    """Torch's own fp32 probabilities of the recipe's example pairs."""
    answers = []
    for member_fields, candidate_fields in recipe.examples:
        member = recipe.template.render_member(member_fields)
        candidate = recipe.template.render_candidate(candidate_fields)
        pair = Pair(encoder.member(member), encoder.candidates([candidate])[0])
        probabilities = calibrate(heads, model.reference_logits(encoder, [pair]))[0]
        answers.append(KnownAnswer(member=member, candidate=candidate, probabilities=tuple(probabilities.tolist())))
    return tuple(answers)


def _provenance(recipe: Recipe, policy: Policy, folders: dict[str, Path]) -> dict[str, Any]:
    steps = {name: json.loads((folder / "step.json").read_text(encoding="utf-8")) for name, folder in folders.items()}
    return {
        "recipe": recipe.name,
        "policy": {"stamp": policy.stamp, "sha256": policy.sha256},
        "seed": recipe.seed,
        "commit": _commit(),
        "steps": {name: {"fingerprint": s["fingerprint"], "seconds": s.get("seconds")} for name, s in steps.items()},
        "versions": steps["data"].get("versions", {}),
        "parity": json.loads((folders["compress"] / "parity.json").read_text(encoding="utf-8")),
    }


def _commit() -> str:
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
