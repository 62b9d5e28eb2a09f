"""Step `ablate`: what each lever of distillation is worth. Each is turned off in turn, and a student trained without.

Every student is compared with the whole one on the same validation lists, so that intervals are of paired differences.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.lists import by_list
from training.data.soft_labels import SoftLabels
from training.distillation.student_trainers import AnyLearner
from training.evaluation.report import Ablation, to_json
from training.files import write_json
from training.metrics.bootstrap import bootstrap
from training.metrics.ranking import auc, evaluate_lists, ndcg_at_10
from training.nets.checkpoints import Student, load_student
from training.recipe import Lever
from training.step_runner import Resources, Step
from training.steps.distill import (
    DistillInputs,
    DistillPlan,
    Material,
    distill_plan,
    learn_actions,
    learn_relevance,
    new_learner,
    read_material,
)

Variant = Callable[[DistillPlan, AnyLearner, Material, Path], Student]
"""Trains a student without one lever; the folder is for its checkpoints."""
CERTAIN = 1e-3
"""A hard label's probability is kept this far from 0 and 1, or its logit would be infinite."""


@dataclass(frozen=True)
class AblatePlan:
    """How the whole student learnt, and what is turned off."""

    distill: DistillPlan
    levers: tuple[Lever, ...]


@dataclass(frozen=True)
class AblateInputs(DistillInputs):
    """Those of `distill`, and what it wrote."""

    distill: Path


def ablate(plan: AblatePlan, inputs: AblateInputs, out: Path, resources: Resources) -> None:
    """Write `ablation.json`, with a row for each lever."""
    rows = []
    if plan.levers:
        material = read_material(plan.distill, inputs)
        learner = new_learner(plan.distill, inputs, material, resources, inputs.distill)
        whole = figures(plan.distill, learner, material, load_student(inputs.distill)[0])
        for lever in plan.levers:
            folder = out / lever.replace(" ", "-")
            folder.mkdir(exist_ok=True)
            student = VARIANTS[lever](plan.distill, learner, material, folder)
            without = figures(plan.distill, learner, material, student)
            rows.append(Ablation(lever, {name: bootstrap(without[name] - whole[name]) for name in whole}))
    write_json(out / "ablation.json", to_json(list[Ablation], rows))


def figures(plan: DistillPlan, learner: AnyLearner, material: Material, student: Student) -> dict[str, np.ndarray]:
    """f64[lists] by metric: NDCG@10 of the first graded head, AUC of each action."""
    found = {}
    logits = by_list(learner.logits(student, material.graded)[:, 0], material.graded)
    head = plan.heads.graded[0]
    found[f"{head} NDCG@10"] = evaluate_lists(ndcg_at_10, logits, [each.labels[head] for each in material.graded])
    if plan.heads.actions:
        logged = learner.logits(student, material.logged)
        for index, action in enumerate(plan.heads.actions, len(plan.heads.graded)):
            scores = by_list(logged[:, index], material.logged)
            found[f"{action} AUC"] = evaluate_lists(auc, scores, [each.labels[action] for each in material.logged])
    return found


def _trained(plan: DistillPlan, learner: AnyLearner, material: Material, out: Path) -> Student:
    relevance = learn_relevance(plan, learner, material, out)
    if plan.action_heads is None:
        return relevance
    return learn_actions(plan, learner, material, relevance, plan.action_heads.share, out)


def _unranked(plan: DistillPlan, learner: AnyLearner, material: Material, out: Path) -> Student:
    """No ranking term: each pair counts by itself."""
    training = dataclasses.replace(plan.training, listwise_weight=0.0)
    return _trained(dataclasses.replace(plan, training=training), learner, material, out)


def _unanchored(plan: DistillPlan, learner: AnyLearner, material: Material, out: Path) -> Student:
    """Only the teachers' labels."""
    student = dataclasses.replace(plan.student, gold_anchor=0.0)
    return _trained(dataclasses.replace(plan, student=student), learner, material, out)


def _relabelled(change: Callable[[SoftLabels], SoftLabels]) -> Variant:
    def variant(plan: DistillPlan, learner: AnyLearner, material: Material, out: Path) -> Student:
        labelled = []
        for each in material.labelled:
            labels = dict(each.labels)
            for head in plan.heads.all:
                labels |= change(SoftLabels.of(labels, head)).by_column(head)
            labelled.append(dataclasses.replace(each, labels=labels))
        return _trained(plan, learner, dataclasses.replace(material, labelled=labelled), out)

    return variant


def _hard(labels: SoftLabels) -> SoftLabels:
    """Gold in place of the teacher's label, where there is gold."""
    gold = np.clip(labels.gold, CERTAIN, 1 - CERTAIN)
    known = ~np.isnan(gold)
    probability = np.where(known, gold, labels.probability)
    return SoftLabels(probability, np.where(known, np.log(gold / (1 - gold)), labels.logit), labels.gold)


def _raw(labels: SoftLabels) -> SoftLabels:
    """The teacher's probability before calibration."""
    return dataclasses.replace(labels, probability=1 / (1 + np.exp(-labels.logit)))


def _cold(plan: DistillPlan, learner: AnyLearner, material: Material, out: Path) -> Student:
    """All heads at once, without a student of relevance to start from."""
    assert plan.action_heads is not None
    return learn_actions(plan, learner, material, learner.start(out), plan.action_heads.share, out)


def _alone(plan: DistillPlan, learner: AnyLearner, material: Material, out: Path) -> Student:
    """Relevance alone; heads of actions are copies of it."""
    return learn_actions(plan, learner, material, learn_relevance(plan, learner, material, out), 0.0, out)


VARIANTS: dict[Lever, Variant] = {
    "ranking term": _unranked,
    "gold anchor": _unanchored,
    "soft labels": _relabelled(_hard),
    "calibrated labels": _relabelled(_raw),
    "warm start": _cold,
    "engagement teacher": _alone,
}
"""A student without each lever, by its name in a recipe."""


ABLATE = Step("ablate", lambda recipe: AblatePlan(distill_plan(recipe), recipe.ablated), AblateInputs, ablate)
