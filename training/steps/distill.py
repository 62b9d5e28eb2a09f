"""Step `distill`: the teachers' soft labels -> a smaller student, calibrated on lists that it did not train on.

The student first learns relevance from the policy teacher. Then it gets heads for the actions, initialized from the
engagement teacher, and learns from both teachers' soft labels, each by its share:

    loss = weighted mean over heads of: binary KL(teacher || student) + w * the ranking term + a * gold anchor
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from models.features import Feature, Features
from models.text import TextEncoder
from training.data.impressions import read_impressions
from training.data.lists import CandidateList, labelled_for, read_lists, some_drawn, some_of_each
from training.data.soft_labels import read_soft_labels
from training.distillation.feature_learning import HeldOutPairs, learn_features
from training.distillation.item_student import (
    direction_texts,
    judged_kappas,
    learn,
    lists_to_learn,
    start_student,
    weigh_cosine,
)
from training.distillation.loss_weight_sweep import sweep_loss_weights
from training.distillation.multi_teacher_loss import distillation_loss, share_weights, take_heads, with_heads
from training.distillation.student_trainers import AnyTrainer, DotTrainer, FlatTrainer
from training.evaluation.feature_effects import write_effects
from training.evaluation.report import LossWeightSweep, to_json
from training.files import write_json
from training.metrics.calibration import fit_calibrations
from training.nets.checkpoints import Calibrations, Student, made_once, save_model
from training.nets.cross_encoder import CrossEncoder, load_cross_encoder, train_embeddings
from training.nets.split_student import SplitStudent, new_split_student
from training.objectives.dot_product import embed_sides
from training.objectives.graded_batches import predict_batches
from training.objectives.in_batch_negatives import contrast
from training.objectives.position_bias import calibrate_attractiveness
from training.policy.parser import read_policy
from training.recipe import ActionHeadsPlan, HeadNames, Recipe, StudentPlan, TextPlan, TrainingPlan
from training.step_runner import Resources, Step
from training.steps.start import text_encoder
from training.steps.train_engagement_teacher import read_examination
from training.steps.train_policy_teacher import GradedLists
from training.trainer.loop import fit
from training.trainer.schedule import Schedule


@dataclass(frozen=True)
class DistillPlan:
    """What the student is and how it learns; `action_heads` is None without an engagement teacher. `features` are the
    numbers of candidates that it reads beside their texts.
    """

    heads: HeadNames
    text: TextPlan
    training: TrainingPlan
    student: StudentPlan
    action_heads: ActionHeadsPlan | None
    seed: int
    features: tuple[Feature, ...] = ()


@dataclass(frozen=True)
class DistillInputs:
    policy: Path
    data: Path
    log: Path
    start: Path
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


@dataclass(frozen=True)
class Distillation:
    """How students are trained: by which plan, from what, and by the trainer of their kind."""

    plan: DistillPlan
    material: Material
    trainer: AnyTrainer

    @classmethod
    def read(cls, plan: DistillPlan, inputs: DistillInputs, resources: Resources, out: Path) -> Distillation:
        """From the folders of earlier steps; `out` is the folder of step `distill`."""
        policy, heads = read_policy(inputs.policy / "policy.md"), plan.heads
        material = Material(
            read_soft_labels(inputs.annotate, heads.all, policy),
            read_lists(inputs.data, heads.graded, "valid"),
            read_impressions(inputs.log / "impressions.parquet", heads.actions, "valid"),
            load_cross_encoder(inputs.teach_engagement / "model") if heads.actions else None,
        )
        return cls(plan, material, _new_trainer(plan, inputs, material, resources, out))

    def learn_relevance(self, out: Path) -> Student:
        """A student with the graded heads only."""
        student: Student = self.trainer.start(out)
        weights = dict.fromkeys(self.plan.heads.graded, 1.0)
        self._learn(student, weights, self.plan.student.phases.pairs, out / "relevance")
        return student

    def learn_actions(self, relevance: Student, share: float, out: Path) -> Student:
        """The student of relevance with heads for the actions too; with a share of 0 those are copies of relevance."""
        assert self.plan.action_heads is not None
        assert self.material.engagement is not None
        heads = self.plan.heads
        student = with_heads(relevance, [*range(len(heads.graded)), *[0] * len(heads.actions)])
        if share:
            take_heads(student, len(heads.graded), self.material.engagement)
            weights = share_weights(heads.graded, heads.actions, share)
            self._learn(student, weights, self.plan.action_heads.schedule, out / f"share-{share:g}")
        return student

    def _learn(self, student: Student, weights: dict[str, float], schedule: Schedule, out: Path) -> None:
        plan = self.plan.student
        weight = self.plan.training.listwise_weight
        loss = distillation_loss(weights, plan.ranking_term, weight, plan.gold_anchor)
        self.trainer.learn(student, self.material.labelled, loss, schedule, out)

    def compare_shares(self, plan: ActionHeadsPlan, relevance: Student, out: Path) -> LossWeightSweep:
        """Relevance against engagement of a student for each share, on validation lists."""
        lists = labelled_for([*self.material.graded, *self.material.logged], self.plan.heads.all)
        return sweep_loss_weights(
            plan,
            self.plan.heads,
            lists,
            train=lambda share: partial(self.trainer.logits, self.learn_actions(relevance, share, out)),
        )

    def calibrate(self, student: Student, curve: np.ndarray | None, out: Path) -> Calibrations:
        """Graded heads on grades; actions on the log, by the examination `curve` of their teacher.

        A student that reads features learns first what they change.
        """
        heads, logits = self.plan.heads, self.trainer.logits
        graded = some_of_each(self.material.graded, self.plan.training.calibration_lists, self.plan.seed)
        on_grades = Stated(logits(student, graded), graded)
        on_log = Stated(logits(student, self.material.logged), self.material.logged) if heads.actions else None
        if self.plan.features:
            on_grades, on_log = add_features(student, self.plan, on_grades, on_log, curve, out)
        found = fit_calibrations(heads.graded, on_grades.logits, graded)
        if on_log is None:
            return found
        of_actions = on_log.logits[:, len(heads.graded) : len(heads.all)]
        return {**found, **calibrate_attractiveness(heads.actions, of_actions, on_log.lists, curve)}


def distill(plan: DistillPlan, inputs: DistillInputs, out: Path, resources: Resources) -> None:
    """Train the student, initialized from the policy teacher; write it, and with two teachers `shares.json`.

    Raises DataError or PolicyMismatch for soft labels that cannot be used.
    """
    if plan.student.has_items:
        save_model(out, *_with_items(plan, inputs, resources, out))
        return
    distillation = Distillation.read(plan, inputs, resources, out)
    student = relevance = distillation.learn_relevance(out)
    if plan.action_heads:
        student = distillation.learn_actions(relevance, plan.action_heads.share, out)
        shares = distillation.compare_shares(plan.action_heads, relevance, out)
        write_json(out / "shares.json", to_json(LossWeightSweep, shares))
    curve = read_examination(inputs.teach_engagement) if plan.heads.actions else None
    save_model(out, student, distillation.calibrate(student, curve, out))


def _with_items(
    plan: DistillPlan, inputs: DistillInputs, resources: Resources, out: Path
) -> tuple[SplitStudent, Calibrations]:
    """A student with slots of items, which learns all heads at once; calibrated on grades and on the log."""
    assert plan.student.split
    heads, policy = plan.heads, read_policy(inputs.policy / "policy.md")
    encoder = text_encoder(plan.text, resources, plan.text.training_tokens)
    grades = GradedLists.read(heads.graded, policy, inputs.data)
    constructed = some_drawn(grades.constructed, plan.student.lists, plan.seed)
    soft = read_soft_labels(inputs.annotate, heads.all, policy)
    lists, further = lists_to_learn(grades.train, constructed, soft, heads)
    lists, further = (lists, further) if lists else (further, [])
    texts = direction_texts(lists)
    tokenizer = resources.model(plan.text.backbone)
    start = load_cross_encoder(inputs.start / "model")
    student = start_student(start, tokenizer, plan.student.split, heads.outputs, texts, seed=plan.seed)
    learn(student, encoder, lists, further, heads.outputs, plan.student, out, seed=plan.seed)
    ranked = some_of_each(_ranked(heads, inputs.data), plan.training.calibration_lists, plan.seed)
    if ranked:
        write_json(out / "cosine.json", weigh_cosine(student, start, encoder, ranked, heads.graded[0]))
    on_grades, on_log, curve = Stated(np.zeros((0, len(heads.outputs))), grades.valid), None, None
    if grades.valid:
        on_grades = Stated(predict_batches(student, encoder, grades.valid), grades.valid)
    if heads.actions:
        logged = read_impressions(inputs.log / "impressions.parquet", heads.actions, "valid")
        on_log = Stated(predict_batches(student, encoder, logged), logged)
        curve = read_examination(inputs.teach_engagement)
    if plan.features:
        on_grades, on_log = add_features(student, plan, on_grades, on_log, curve, out)
    names = [name for name in heads.outputs if name not in heads.actions]
    logits = on_grades.logits[:, [heads.outputs.index(name) for name in names]]
    found = fit_calibrations(names, logits, grades.valid)
    if on_log is not None:
        columns = [heads.outputs.index(name) for name in heads.actions]
        found |= calibrate_attractiveness(heads.actions, on_log.logits[:, columns], on_log.lists, curve)
    write_json(out / "kappa.json", judged_kappas(names, logits, found, grades.valid))
    return student, found


def _ranked(heads: HeadNames, data: Path) -> list[CandidateList]:
    """Validation lists of all sources in which the first graded head ranks something."""
    if not heads.graded:
        return []
    lists = read_lists(data, heads.graded[:1], "valid")
    return [each for each in lists if (each.labels[heads.graded[0]] > 0).any()]


@dataclass(frozen=True)
class Stated:
    """A student's logits f32[pairs of all lists, outputs] of some lists."""

    logits: np.ndarray
    lists: Sequence[CandidateList]


def add_features(
    student: Student, plan: DistillPlan, on_grades: Stated, on_log: Stated | None, curve: np.ndarray | None, out: Path
) -> tuple[Stated, Stated | None]:
    """Teach a student what features change, in place; write `features.json`. Returns its logits with the features."""
    assert isinstance(student, SplitStudent)  # the recipe says so
    features, heads = Features(plan.features), plan.heads.all
    parts = [HeldOutPairs.of(features, heads, on_grades.logits, on_grades.lists)] if on_grades.lists else []
    if on_log is not None:
        parts.append(HeldOutPairs.of(features, heads, on_log.logits, on_log.lists, curve))
    pairs = parts[0] if len(parts) == 1 else parts[0].and_those_of(parts[1])
    learnt = learn_features(features, heads, pairs, plan.seed)
    student.feature_part = learnt.part
    write_effects(out, learnt.effects)
    num_graded = len(on_grades.logits)
    graded = Stated(_with_heads(on_grades.logits, learnt.logits[:num_graded]), on_grades.lists)
    return graded, on_log and Stated(_with_heads(on_log.logits, learnt.logits[num_graded:]), on_log.lists)


def _with_heads(logits: np.ndarray, of_heads: np.ndarray) -> np.ndarray:
    """The outputs with other logits of the heads, which come first."""
    return np.concatenate([of_heads, logits[:, of_heads.shape[1] :]], axis=1)


def _new_trainer(
    plan: DistillPlan, inputs: DistillInputs, material: Material, resources: Resources, out: Path
) -> AnyTrainer:
    encoder = text_encoder(plan.text, resources, plan.text.training_tokens)
    student = plan.student
    if student.split is None:
        train = read_lists(inputs.data, plan.heads.graded, "train")
        return FlatTrainer(student, encoder, inputs.start, train, plan.training.train_embeddings)
    start = _initial_encoder(plan, encoder, inputs.start, material.labelled, out)
    untrained = new_split_student(start, student.split).eval()
    scored = [*material.labelled, *material.graded, *material.logged]
    return DotTrainer(untrained, embed_sides(untrained, encoder, scored, resources.embeddings))


def _initial_encoder(
    plan: DistillPlan, encoder: TextEncoder, start: Path, labelled: list[CandidateList], out: Path
) -> CrossEncoder:
    """The encoder of a split student: that of step `start`, after it has also learnt from the soft labels."""

    def trained() -> CrossEncoder:
        model = train_embeddings(load_cross_encoder(start / "model"), plan.training.train_embeddings)
        fit(model, labelled, contrast(model, encoder, plan.heads.graded), plan.student.phases.sides, out / "encoder")
        return model

    return made_once(out / "encoder" / "model", trained)


def distill_plan(recipe: Recipe) -> DistillPlan:
    """The plan by which students are trained, here and in step `ablate`."""
    action_heads = recipe.engagement.student if recipe.engagement else None
    return DistillPlan(
        recipe.head_names, recipe.text, recipe.training, recipe.student, action_heads, recipe.seed, recipe.features
    )


DISTILL = Step("distill", distill_plan, DistillInputs, distill)
