"""The cookbook: which steps there are, what each reads, and the order. Wires values into the steps' own functions."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from models.text import TextEncoder
from training.annotate import annotate
from training.compress import compress
from training.cross_encoder import read_tokenizer
from training.data import check_pairs, read_pairs, render_lists, some_lists
from training.distill import distill
from training.evaluate import evaluate
from training.export import export
from training.steps import Run, Step, run_step
from training.store import load_model
from training.teach import teach


def _backbone(run: Run) -> str:
    return run.recipe.backbone(run.data, run.root / run.recipe.name / "backbone")


def _encoder(run: Run, tokens: tuple[int, int] | None = None) -> TextEncoder:
    member, candidate = tokens or (run.recipe.member_tokens, run.recipe.candidate_tokens)
    return TextEncoder(read_tokenizer(_backbone(run)), member, candidate)


def _data(run: Run, out: Path) -> None:
    recipe = run.recipe
    pairs = render_lists(recipe.lists(run.data), recipe.template, recipe.head_names)
    check_pairs(pairs, recipe.head_names, recipe.name)
    pairs.write_parquet(out / "pairs.parquet")


def _teach(run: Run, out: Path) -> None:
    teach(run.recipe, _backbone(run), _encoder(run, run.recipe.training_tokens), run.folder("data"), out)


def _annotate(run: Run, out: Path) -> None:
    recipe = run.recipe
    teacher, calibrations = load_model(run.folder("teach"))
    pairs = read_pairs(run.folder("data") / "pairs.parquet", recipe.head_names).filter(pl.col("split") == "train")
    pairs = some_lists(pairs, recipe.annotated_lists, recipe.seed)
    annotate(pairs, teacher, calibrations, _encoder(run, recipe.training_tokens), recipe.head_names, out)


def _distill(run: Run, out: Path) -> None:
    encoder = _encoder(run, run.recipe.training_tokens)
    distill(run.recipe, encoder, run.folder("data"), run.folder("teach"), run.folder("annotate"), out)


def _compress(run: Run, out: Path) -> None:
    compress(run.recipe, _encoder(run), run.folder("data"), run.folder("distill"), out)


def _evaluate(run: Run, out: Path) -> None:
    folders = {name: run.folder(name) for name in STEPS["evaluate"].reads}
    evaluate(run.recipe, _encoder(run), _backbone(run), folders, out)


def _export(run: Run, out: Path) -> None:
    folders = {name: run.folder(name) for name in STEPS["export"].reads}
    bundle = run.bundles / f"{run.recipe.name}-v{run.recipe.version}"
    saved = export(run.recipe, _encoder(run), read_tokenizer(_backbone(run)), folders, bundle)
    (out / "bundle.txt").write_text(f"{bundle.name} {saved.manifest.version}\n", encoding="utf-8")


TEXT = ("template", "heads", "member_tokens", "candidate_tokens", "backbone")
TRAINING = (*TEXT, "training_tokens", "train_embeddings", "listwise_weight", "calibration_lists")
STEPS = {
    step.name: step
    for step in (
        Step("data", (), ("template", "heads", "lists"), _data),
        Step("teach", ("data",), (*TRAINING, "teacher", "backbone_share"), _teach),
        Step("annotate", ("data", "teach"), (*TRAINING, "annotated_lists"), _annotate),
        Step(
            "distill", ("data", "teach", "annotate"), (*TRAINING, "student", "student_layers", "gold_anchor"), _distill
        ),
        Step("compress", ("data", "distill"), TEXT, _compress),
        Step(
            "evaluate",
            ("data", "teach", "distill", "compress"),
            (*TEXT, "baselines", "floors", "evaluated_lists"),
            _evaluate,
        ),
        Step(
            "export",
            ("data", "teach", "distill", "compress", "evaluate"),
            (*TEXT, "version", "card", "examples"),
            _export,
        ),
    )
}


def run_all(run: Run) -> None:
    """Every step in order; those that are done are skipped."""
    for step in STEPS.values():
        run_step(step, run)
