"""Step `distill`: the teachers' soft labels -> a smaller student, calibrated on what it never trained on.

The student first learns relevance from the policy teacher. From there heads of actions grow, which start as their
teacher's own, and both teachers' soft labels count, each by its share:

    loss = weighted mean over heads of: binary KL(teacher || student) + w * the recipe's ranking term + a * gold anchor
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.text import TextEncoder
from training.data.impressions import read_impressions
from training.data.lists import CandidateList, candidate_lists, labelled_for, read_lists, some_of_each
from training.distillation.initial_encoder import initial_encoder
from training.distillation.loss_weight_sweep import Predict, sweep_loss_weights
from training.distillation.multi_teacher_loss import distillation_loss, share_weights, take_heads, with_heads
from training.distillation.student_trainers import AnyLearner, FlatLearner, SplitLearner
from training.evaluation.report import LossWeightSweep, to_json
from training.files import write_json
from training.metrics.calibration import fit_calibrations
from training.nets.checkpoints import Calibrations, Student, save_model
from training.nets.cross_encoder import CrossEncoder, load_cross_encoder
from training.objectives.position_bias import calibrate_attractiveness
from training.recipe import Recipe
from training.steps.annotate import read_soft_labels
from training.steps.train_engagement_teacher import read_examination
from training.trainer.schedule import Schedule


@dataclass(frozen=True)
class Material:
    """What students learn from, and what they are calibrated and compared on: lists with soft labels, graded ones, and
    the log's; and the teacher whose heads actions start from. No log and no such teacher without an engagement plan.
    """

    labelled: list[CandidateList]
    graded: list[CandidateList]
    logged: list[CandidateList]
    engagement: CrossEncoder | None


def distill(recipe: Recipe, encoder: TextEncoder, folders: dict[str, Path], readings: Path, out: Path) -> None:
    """Train the student of the recipe's kind, warm from the policy teacher, into `out`; and `shares.json`, where the
    recipe has two teachers.
    """
    material = read_material(recipe, folders)
    learner = new_learner(recipe, encoder, {**folders, "distill": out}, material, readings)
    student = relevance = learn_relevance(recipe, learner, material, out)
    if recipe.engagement:
        student = learn_actions(recipe, learner, material, relevance, recipe.engagement.share, out)
        shares = draw_shares(recipe, learner, material, relevance, out)
        write_json(out / "shares.json", to_json(LossWeightSweep, shares))
    save_model(out, student, _calibrations(recipe, learner, material, student, folders))


def read_material(recipe: Recipe, folders: dict[str, Path]) -> Material:
    """All of it, from the folders of the steps before."""
    columns = [f"{head}{suffix}" for head in recipe.head_names for suffix in ("", "_logit", "_gold")]
    return Material(
        list(candidate_lists(read_soft_labels(folders["annotate"]), columns)),
        read_lists(folders["data"], recipe.policy_heads, "valid"),
        read_impressions(folders["log"] / "impressions.parquet", recipe.actions, "valid"),
        load_cross_encoder(folders["teach-engagement"] / "model") if recipe.actions else None,
    )


def new_learner(
    recipe: Recipe, encoder: TextEncoder, folders: dict[str, Path], material: Material, readings: Path
) -> AnyLearner:
    """Whoever trains students of the recipe's kind."""
    train = read_lists(folders["data"], recipe.policy_heads, "train")
    if recipe.split is None:
        return FlatLearner(recipe, encoder, folders["teach"], train)
    others = [*material.labelled, *material.graded, *material.logged]
    start = initial_encoder(recipe, encoder, folders["teach"], material.labelled, folders["distill"])
    return SplitLearner(recipe, encoder, start, train, others, readings)


def learn_relevance(recipe: Recipe, learner: AnyLearner, material: Material, out: Path) -> Student:
    """A student with the heads of the policy teacher alone."""
    student: Student = learner.start(out)
    weights = dict.fromkeys(recipe.policy_heads, 1.0)
    _learn(recipe, learner, material, student, weights, recipe.student.pairs, out / "relevance")
    return student


def learn_actions(
    recipe: Recipe, learner: AnyLearner, material: Material, relevance: Student, share: float, out: Path
) -> Student:
    """The student of relevance with heads for the actions too; at a share of 0 they know no more than what fits."""
    assert recipe.engagement is not None
    assert material.engagement is not None
    graded = len(recipe.policy_heads)
    student = with_heads(relevance, [*range(graded), *[0] * len(recipe.actions)])
    if share:
        take_heads(student, graded, material.engagement)
        weights = share_weights(recipe.policy_heads, recipe.actions, share)
        _learn(recipe, learner, material, student, weights, recipe.engagement.student, out / f"share-{share:g}")
    return student


def _learn(
    recipe: Recipe,
    learner: AnyLearner,
    material: Material,
    student: Student,
    weights: dict[str, float],
    schedule: Schedule,
    out: Path,
) -> None:
    loss = distillation_loss(weights, recipe.ranking_term, recipe.listwise_weight, recipe.gold_anchor)
    learner.learn(student, material.labelled, loss, schedule, out)


def draw_shares(
    recipe: Recipe, learner: AnyLearner, material: Material, relevance: Student, out: Path
) -> LossWeightSweep:
    """Relevance against engagement of a student for each share, on validation lists."""
    assert recipe.engagement is not None

    def train(share: float) -> Predict:
        student = learn_actions(recipe, learner, material, relevance, share, out)
        return lambda lists: learner.logits(student, lists)

    return sweep_loss_weights(
        sorted({*recipe.engagement.shares, recipe.engagement.share}),
        train,
        labelled_for([*material.graded, *material.logged], recipe.head_names),
        recipe.head_names,
        relevance=recipe.policy_heads[0],
        engagement=recipe.actions[0],
        chosen=recipe.engagement.share,
    )


def _calibrations(
    recipe: Recipe, learner: AnyLearner, material: Material, student: Student, folders: dict[str, Path]
) -> Calibrations:
    """Graded heads against grades; actions against the log, whose places the engagement teacher has accounted for."""
    graded = some_of_each(material.graded, recipe.calibration_lists, recipe.seed)
    found = fit_calibrations(recipe.policy_heads, learner.logits(student, graded), graded)
    if not recipe.actions:
        return found
    logits = learner.logits(student, material.logged)[:, len(recipe.policy_heads) :]
    curve = read_examination(folders["teach-engagement"])
    return {**found, **calibrate_attractiveness(recipe.actions, logits, material.logged, curve)}
