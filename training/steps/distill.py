"""Step `distill`: the teachers' soft labels -> a smaller student, calibrated on lists that it did not train on.

The student first learns relevance from the policy teacher. Then it gets heads for the actions, initialized from the
engagement teacher, and learns from both teachers' soft labels, each by its share:

    loss = weighted mean over heads of: binary KL(teacher || student) + w * the ranking term + a * gold anchor
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.impressions import read_impressions
from training.data.lists import CandidateList, labelled_for, read_lists, some_drawn, some_of_each
from training.data.soft_labels import read_soft_labels
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
from training.policy.parser import read_policy
from training.recipe import ActionHeadsPlan, HeadNames, Recipe, StudentPlan, TextPlan, TrainingPlan
from training.step_runner import Resources, Step
from training.steps.text_encoder import text_encoder
from training.steps.train_engagement_teacher import read_examination
from training.trainer.schedule import Schedule


@dataclass(frozen=True)
class DistillPlan:
    """What the student is and how it learns; `action_heads` is None without an engagement teacher."""

    heads: HeadNames
    text: TextPlan
    training: TrainingPlan
    student: StudentPlan
    action_heads: ActionHeadsPlan | None
    seed: int


@dataclass(frozen=True)
class DistillInputs:
    """Folders of earlier steps."""

    policy: Path
    data: Path
    log: Path
    teach: Path
    teach_engagement: Path
    annotate: Path


@dataclass(frozen=True)
class Material:
    """What students learn from: lists with soft labels. What they are calibrated and compared on: graded validation
    lists, and the log's. The engagement teacher, whose heads initialize the actions'. No log and None without actions.
    """

    labelled: list[CandidateList]
    graded: list[CandidateList]
    logged: list[CandidateList]
    engagement: CrossEncoder | None


def distill(plan: DistillPlan, inputs: DistillInputs, out: Path, resources: Resources) -> None:
    """Train the student, warm from the policy teacher; write it, and with two teachers `shares.json`.

    Raises PolicyMismatch for soft labels of another policy.
    """
    material = read_material(plan, inputs)
    learner = new_learner(plan, inputs, material, resources, out)
    student = relevance = learn_relevance(plan, learner, material, out)
    if plan.action_heads:
        student = learn_actions(plan, learner, material, relevance, plan.action_heads.share, out)
        shares = compare_shares(plan, learner, material, relevance, out)
        write_json(out / "shares.json", to_json(LossWeightSweep, shares))
    curve = read_examination(inputs.teach_engagement) if plan.heads.actions else None
    save_model(out, student, _calibrations(plan, learner, material, student, curve))


def read_material(plan: DistillPlan, inputs: DistillInputs) -> Material:
    """Read and check all of it, once."""
    policy = read_policy(inputs.policy / "policy.md")
    return Material(
        read_soft_labels(inputs.annotate, plan.heads.all, policy),
        read_lists(inputs.data, plan.heads.graded, "valid"),
        read_impressions(inputs.log / "impressions.parquet", plan.heads.actions, "valid"),
        load_cross_encoder(inputs.teach_engagement / "model") if plan.heads.actions else None,
    )


def new_learner(
    plan: DistillPlan, inputs: DistillInputs, material: Material, resources: Resources, distilled: Path
) -> AnyLearner:
    """Trains students of the plan's kind; `distilled` is the output folder of `distill`."""
    encoder = text_encoder(plan.text, resources, plan.text.training_tokens)
    train = read_lists(inputs.data, plan.heads.graded, "train")
    embeddings = plan.training.train_embeddings
    if plan.student.split is None:
        return FlatLearner(plan.student, encoder, inputs.teach, train, embeddings=embeddings)
    start = initial_encoder(
        plan.student.phases.sides,
        plan.heads.graded,
        encoder,
        inputs.teach,
        material.labelled,
        distilled,
        embeddings=embeddings,
    )
    seen = some_drawn(train, plan.student.lists, plan.seed)
    others = [*material.labelled, *material.graded, *material.logged]
    return SplitLearner(plan.student, plan.heads.graded, encoder, start, seen, others, resources.embeddings)


def learn_relevance(plan: DistillPlan, learner: AnyLearner, material: Material, out: Path) -> Student:
    """A student with the graded heads only."""
    student: Student = learner.start(out)
    weights = dict.fromkeys(plan.heads.graded, 1.0)
    _learn(plan, learner, material, student, weights, plan.student.phases.pairs, out / "relevance")
    return student


def learn_actions(
    plan: DistillPlan, learner: AnyLearner, material: Material, relevance: Student, share: float, out: Path
) -> Student:
    """The student of relevance with heads for the actions too; with a share of 0 those are copies of relevance."""
    assert plan.action_heads is not None
    assert material.engagement is not None
    graded = len(plan.heads.graded)
    student = with_heads(relevance, [*range(graded), *[0] * len(plan.heads.actions)])
    if share:
        take_heads(student, graded, material.engagement)
        weights = share_weights(plan.heads.graded, plan.heads.actions, share)
        _learn(plan, learner, material, student, weights, plan.action_heads.schedule, out / f"share-{share:g}")
    return student


def _learn(
    plan: DistillPlan,
    learner: AnyLearner,
    material: Material,
    student: Student,
    weights: dict[str, float],
    schedule: Schedule,
    out: Path,
) -> None:
    weight, anchor = plan.training.listwise_weight, plan.student.gold_anchor
    loss = distillation_loss(weights, plan.student.ranking_term, weight, anchor)
    learner.learn(student, material.labelled, loss, schedule, out)


def compare_shares(
    plan: DistillPlan, learner: AnyLearner, material: Material, relevance: Student, out: Path
) -> LossWeightSweep:
    """Relevance against engagement of a student for each share, on validation lists."""
    assert plan.action_heads is not None

    def train(share: float) -> Predict:
        student = learn_actions(plan, learner, material, relevance, share, out)
        return lambda lists: learner.logits(student, lists)

    return sweep_loss_weights(
        sorted({*plan.action_heads.shares, plan.action_heads.share}),
        train,
        labelled_for([*material.graded, *material.logged], plan.heads.all),
        plan.heads.all,
        relevance=plan.heads.graded[0],
        engagement=plan.heads.actions[0],
        chosen=plan.action_heads.share,
    )


def _calibrations(
    plan: DistillPlan, learner: AnyLearner, material: Material, student: Student, curve: np.ndarray | None
) -> Calibrations:
    """Graded heads against grades; actions against the log, by the examination `curve` of their teacher."""
    graded = some_of_each(material.graded, plan.training.calibration_lists, plan.seed)
    found = fit_calibrations(plan.heads.graded, learner.logits(student, graded), graded)
    if not plan.heads.actions:
        return found
    logits = learner.logits(student, material.logged)[:, len(plan.heads.graded) :]
    return {**found, **calibrate_attractiveness(plan.heads.actions, logits, material.logged, curve)}


def distill_plan(recipe: Recipe) -> DistillPlan:
    """The plan by which students are trained, here and in step `ablate`."""
    action_heads = recipe.engagement.student if recipe.engagement else None
    return DistillPlan(recipe.head_names, recipe.text, recipe.training, recipe.student, action_heads, recipe.seed)


DISTILL = Step("distill", distill_plan, DistillInputs, distill)
