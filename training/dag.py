"""The cookbook: which steps there are, what each reads, and the order. Wires values into the steps' own functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl

from models.text import TextEncoder
from training.data.impressions import POSITION, check_impressions
from training.data.lists import check_pairs, read_pairs, render_lists, some_lists
from training.distillation.teachers import read_teachers
from training.judging.golden_set import make_golden
from training.judging.llm_judge import judge
from training.nets.checkpoints import check_model_stamp, write_stamp
from training.nets.cross_encoder import read_tokenizer
from training.nets.llm_teacher import Decoder, new_decoder, pair_prompt
from training.policy.parser import read_policy, write_policy
from training.policy.policy import Policy
from training.recipe import DecoderTeacher
from training.step_runner import Run, Step, run_step
from training.steps.ablate import ablate
from training.steps.annotate import annotate, check_soft_labels
from training.steps.architecture_sweep import frontier
from training.steps.compress import compress
from training.steps.distill import distill
from training.steps.evaluate import evaluate
from training.steps.export import export
from training.steps.train_engagement_teacher import teach_engagement
from training.steps.train_policy_teacher import teach


def _backbone(run: Run) -> str:
    return run.recipe.backbone(run.data, run.root / run.recipe.name / "backbone")


def _encoder(run: Run, tokens: tuple[int, int] | None = None) -> TextEncoder:
    member, candidate = tokens or (run.recipe.member_tokens, run.recipe.candidate_tokens)
    return TextEncoder(read_tokenizer(_backbone(run)), member, candidate)


def _policy(run: Run, out: Path) -> None:
    write_policy(run.recipe.policy, out)


def _read_policy(run: Run) -> Policy:
    return read_policy(run.recipe.policy)


def _golden(run: Run, out: Path) -> None:
    recipe = run.recipe
    make_golden(recipe.human_grades(run.data), _read_policy(run), recipe.template, out)


def _judge(run: Run, out: Path) -> None:
    # Beside the steps' folders: what was paid for outlives a changed recipe.
    ledger = run.root / run.recipe.name / "judge.sqlite"
    judge(run.recipe.judge, _read_policy(run), run.folder("golden"), ledger, out)


def _data(run: Run, out: Path) -> None:
    recipe = run.recipe
    pairs = render_lists(recipe.lists(run.data), recipe.template, recipe.policy_heads)
    check_pairs(pairs, recipe.policy_heads, recipe.name)
    pairs.write_parquet(out / "pairs.parquet")


def _log(run: Run, out: Path) -> None:
    recipe = run.recipe
    logged = recipe.engagement.log(run.data) if recipe.engagement else ()
    log = render_lists(logged, recipe.template, (*recipe.actions, POSITION))
    if recipe.engagement:
        check_impressions(log, recipe.actions, recipe.name)
    log.write_parquet(out / "impressions.parquet")


def _teach(run: Run, out: Path) -> None:
    encoder, data = _encoder(run, run.recipe.training_tokens), run.folder("data")
    teach(run.recipe, _backbone(run), encoder, data, out, decoder=decoder_of(run), processes=run.team)
    if run.team.is_main:
        write_stamp(out, _read_policy(run))


def decoder_of(run: Run) -> Callable[[], Decoder] | None:
    """Makes the decoder that the recipe teaches, before it has learnt anything; None where it teaches none."""
    plan = run.recipe.teacher
    if not isinstance(plan, DecoderTeacher):
        return None
    base = plan.base(run.data, run.root / run.recipe.name / "base")
    questions = [plan.questions[head] for head in run.recipe.policy_heads]
    prompt = pair_prompt(base, _read_policy(run), questions, plan.tokens)
    return partial(new_decoder, base, prompt, plan.lora, run.recipe.seed)


def _teach_engagement(run: Run, out: Path) -> None:
    recipe = run.recipe
    if recipe.engagement is None:
        (out / "none.txt").write_text("the recipe has no engagement teacher\n", encoding="utf-8")
        return
    encoder = _encoder(run, recipe.training_tokens)
    log, teacher = run.folder("log"), run.folder("teach")
    embeddings = recipe.train_embeddings
    teach_engagement(recipe.engagement, encoder, log, teacher, run.readings, out, embeddings=embeddings)


def _annotate(run: Run, out: Path) -> None:
    recipe, policy = run.recipe, _read_policy(run)
    check_model_stamp(run.folder("teach"), policy)
    teachers = read_teachers(recipe, _read_by("annotate", run))
    pairs = read_pairs(run.folder("data") / "pairs.parquet", recipe.policy_heads).filter(pl.col("split") == "train")
    pairs = some_lists(pairs, recipe.annotated_lists, recipe.seed)
    annotate(pairs, teachers, _encoder(run, recipe.training_tokens), policy.stamp, out, run.engine)


def _frontier(run: Run, out: Path) -> None:
    encoder = _encoder(run, run.recipe.training_tokens)
    frontier(run.recipe, encoder, run.folder("data"), run.folder("teach"), run.readings, out)


def _distill(run: Run, out: Path) -> None:
    encoder = _encoder(run, run.recipe.training_tokens)
    folders = _read_by("distill", run)
    check_soft_labels(folders["annotate"], run.recipe.head_names, _read_policy(run))
    distill(run.recipe, encoder, folders, run.readings, out)


def _ablate(run: Run, out: Path) -> None:
    ablate(run.recipe, _encoder(run, run.recipe.training_tokens), _read_by("ablate", run), run.readings, out)


def _compress(run: Run, out: Path) -> None:
    pruned = run.recipe.pruned
    short = _encoder(run, pruned.tokens if pruned else None)
    compress(run.recipe, _encoder(run), short, run.folder("data"), run.folder("distill"), out)


def _evaluate(run: Run, out: Path) -> None:
    folders = _read_by("evaluate", run)
    live = run.bundles / f"{run.recipe.name}-v{run.recipe.version}"
    evaluate(run.recipe, _encoder(run), _backbone(run), folders, run.readings, live if live.exists() else None, out)


def _export(run: Run, out: Path) -> None:
    folders = _read_by("export", run)
    bundle = run.bundles / f"{run.recipe.name}-v{run.recipe.version}"
    policy = _read_policy(run)
    check_model_stamp(run.folder("teach"), policy)
    saved = export(run.recipe, _encoder(run), read_tokenizer(_backbone(run)), policy, folders, bundle)
    (out / "bundle.txt").write_text(f"{bundle.name} {saved.manifest.version}\n", encoding="utf-8")


def _read_by(step: str, run: Run) -> dict[str, Path]:
    return {name: run.folder(name) for name in STEPS[step].reads}


TEXT = ("template", "member_tokens", "candidate_tokens", "backbone")
TRAINING = (*TEXT, "policy_heads", "training_tokens", "train_embeddings", "listwise_weight", "calibration_lists")
DISTILLING = (
    *TRAINING,
    "actions",
    "engagement.student",
    "engagement.share",
    "engagement.shares",
    "student",
    "student_layers",
    "split",
    "student_lists",
    "ranking_term",
    "gold_anchor",
)
STEPS = {
    step.name: step
    for step in (
        Step("policy", (), ("policy",), _policy),
        Step("golden", ("policy",), ("template", "human_grades"), _golden),
        Step("judge", ("policy", "golden"), ("judge",), _judge),
        Step("data", (), ("template", "policy_heads", "lists"), _data),
        Step("log", (), ("template", "actions", "engagement.log"), _log),
        # A teacher learns from grades: an edit of the policy that changes no grade need not cost a training. It is
        # refused where it is used, and a person decides whether it is taught anew.
        Step("teach", ("data",), (*TRAINING, "teacher", "backbone_share"), _teach, together=True),
        Step(
            "teach-engagement",
            ("log", "teach"),
            (*TRAINING, "actions", "engagement.places", "engagement.rare", "engagement.teacher"),
            _teach_engagement,
        ),
        Step(
            "annotate",
            ("policy", "data", "teach", "teach-engagement"),
            (*TRAINING, "actions", "annotated_lists"),
            _annotate,
        ),
        Step("frontier", ("data", "teach"), (*TRAINING, "student_lists", "sweep"), _frontier),
        Step("distill", ("policy", "data", "log", "teach", "teach-engagement", "annotate"), DISTILLING, _distill),
        Step(
            "ablate",
            ("policy", "data", "log", "teach", "teach-engagement", "annotate", "distill"),
            (*DISTILLING, "ablated"),
            _ablate,
        ),
        Step("compress", ("data", "distill"), (*TEXT, "policy_heads", "split", "pruned"), _compress),
        Step(
            "evaluate",
            ("judge", "data", "log", "teach", "teach-engagement", "frontier", "distill", "ablate", "compress"),
            (
                *TEXT,
                "heads",
                "split",
                "baselines",
                "floors",
                "evaluated_lists",
                "teacher_lists",
                "audited_lists",
                "untold_sources",
            ),
            _evaluate,
        ),
        Step(
            "export",
            ("policy", "data", "teach", "teach-engagement", "distill", "compress", "evaluate"),
            (*TEXT, "heads", "version", "card", "examples"),
            _export,
        ),
    )
}


def run_all(run: Run) -> None:
    """Every step in order; those that are done are skipped."""
    for step in STEPS.values():
        run_step(step, run)
