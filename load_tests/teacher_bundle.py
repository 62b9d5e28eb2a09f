"""A bundle of a recipe's flat teacher, its fp32 graph only, to measure the service with it.

`python -m load_tests.teacher_bundle jobs FOLDER` reads the output of the step `teach`. The bundle is the baseline of a
student's speed. It is not for shipping: it has no card and no figures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from models.bundle.files import Bundle, save_bundle
from models.bundle.manifest import Graph, KnownAnswer, Manifest, TextSpec
from models.heads import Head, calibrate
from models.loading import check_known_answers, open_encoder, open_scorer
from models.text import Pair, TextEncoder
from training.compression.onnx_export import pair_graph, write_onnx
from training.nets.checkpoints import read_calibrations
from training.nets.cross_encoder import CrossEncoder, load_cross_encoder, read_tokenizer
from training.nets.inference import to_tensors
from training.recipe import Recipe
from training.recipes import find_recipe
from training.step_runner import Run

# Difference of probabilities: the same arithmetic in another order.
TOLERANCE = 1e-3


def teacher_bundle(recipe: Recipe, teach: Path, tokenizer: str, folder: Path) -> Bundle:
    """Write the bundle of the teacher in `teach`, and load it as a check. Texts are truncated as the student's are.

    Raises BundleError when it does not give its known answers.
    """
    model, calibrations = load_cross_encoder(teach / "model"), read_calibrations(teach)
    model.cpu().eval()
    graded = [head for head in recipe.heads if head.name in recipe.head_names.graded]
    heads = tuple(Head(name=h.name, meaning=h.meaning, calibration=calibrations[h.name]) for h in graded)
    text = TextSpec(
        tokenizer="tokenizer.json",
        member_tokens=recipe.text.member_tokens,
        candidate_tokens=recipe.text.candidate_tokens,
        layout="texts",
        template=recipe.text.template,
    )
    encoder = TextEncoder(tokenizer, text.member_tokens, text.candidate_tokens, layout=text.layout)
    manifest = Manifest(
        format=1,
        kind="cross",
        name=f"{recipe.name}-teacher",
        version=recipe.version,
        policy=None,
        created=datetime.now(UTC).date().isoformat(),
        licence=recipe.export.card.licence,
        attributions=recipe.export.card.attributions,
        score_meaning="as the student's; for measurements only",
        text=text,
        heads=heads,
        default_blend={head.name: head.blend for head in graded},
        graphs=(Graph(file="teacher.fp32.onnx", precision="fp32", device="cpu", tolerance=TOLERANCE),),
        known_answers=_known_answers(recipe, model, encoder, heads),
        training={},
        figures={},
        files={},
    )
    saved = save_bundle(
        folder, manifest, {"teacher.fp32.onnx": _graph(model), "tokenizer.json": tokenizer.encode()}, overwrite=True
    )
    check_known_answers(saved, open_scorer(saved, "cpu"), open_encoder(saved), "cpu")
    return saved


def _graph(model: CrossEncoder) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "teacher.onnx"
        write_onnx(pair_graph(model), file)
        return file.read_bytes()


@torch.inference_mode()
def _known_answers(
    recipe: Recipe, model: CrossEncoder, encoder: TextEncoder, heads: Sequence[Head]
) -> tuple[KnownAnswer, ...]:
    """Torch's fp32 probabilities of the recipe's example pairs."""
    members = [recipe.text.template.render_member(member) for member, _ in recipe.export.examples]
    candidates = [recipe.text.template.render_candidate(candidate) for _, candidate in recipe.export.examples]
    ids = encoder.candidates(candidates)
    pairs = [Pair(encoder.member(member), candidate) for member, candidate in zip(members, ids, strict=True)]
    logits = model(**to_tensors(encoder.collate(pairs), torch.device("cpu"))).numpy()
    return tuple(
        KnownAnswer(member=member, candidate=candidate, probabilities=tuple(row))
        for member, candidate, row in zip(members, candidates, calibrate(heads, logits).tolist(), strict=True)
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Write the bundle and print its path."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.teacher_bundle", description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("folder", type=Path, help="of the bundle; an existing one is replaced")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the sources")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder that the steps wrote to")
    options = parser.parse_args(argv)
    recipe = find_recipe(options.recipe)
    run = Run(recipe, options.data, options.runs, options.runs / recipe.name / "bundles")
    backbone = run.resources().model(recipe.text.backbone)
    bundle = teacher_bundle(recipe, run.folder("teach"), read_tokenizer(backbone), options.folder)
    print(f"{bundle.path}: {bundle.manifest.name} {bundle.manifest.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
