"""Step `ablate`: what each lever of distillation is worth. Each is turned off in turn, and a student trained without.

Every student is compared with the whole one on the same validation lists, so that intervals are of paired differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.data.lists import some_drawn
from training.data.soft_labels import SoftLabels, read_soft_labels
from training.distillation.item_ablation import WITHOUT, Bench, Trial
from training.evaluation.figures import metric_by_list
from training.evaluation.report import Ablation, to_json
from training.files import write_json
from training.metrics.bootstrap import bootstrap
from training.metrics.ranking import auc, ndcg_at_10
from training.nets.checkpoints import Student, load_student
from training.nets.cross_encoder import load_cross_encoder
from training.policy.parser import read_policy
from training.recipe import ItemAblation, Lever, Recipe
from training.step_runner import Resources, Step
from training.steps.distill import Distillation, DistillInputs, DistillPlan, distill_plan
from training.steps.start import text_encoder
from training.steps.train_policy_teacher import GradedLists

Variant = Callable[[Distillation, Path], Student]
"""Trains a student without one lever; the folder is for its checkpoints."""
CERTAIN = 1e-3
"""A hard label's probability is kept this far from 0 and 1, or its logit would be infinite."""


@dataclass(frozen=True)
class AblatePlan:
    """How the whole student learnt, and what is turned off."""

    distill: DistillPlan
    levers: tuple[Lever, ...]
    items: ItemAblation | None


@dataclass(frozen=True)
class AblateInputs(DistillInputs):
    """Those of `distill`, and what it wrote."""

    distill: Path


def ablate(plan: AblatePlan, inputs: AblateInputs, out: Path, resources: Resources) -> None:
    """Write `ablation.json`, with a row for each lever."""
    rows = _of_items(plan.distill, plan.items, inputs, out, resources) if plan.items else []
    if plan.levers:
        distillation = Distillation.read(plan.distill, inputs, resources, inputs.distill)
        whole = figures(distillation, load_student(inputs.distill)[0])
        for lever in plan.levers:
            folder = out / lever.replace(" ", "-")
            folder.mkdir(exist_ok=True)
            without = figures(distillation, VARIANTS[lever](distillation, folder))
            rows.append(Ablation(lever, {name: bootstrap(without[name] - whole[name]) for name in whole}))
    write_json(out / "ablation.json", to_json(list[Ablation], rows))


def _of_items(
    plan: DistillPlan, ablation: ItemAblation, inputs: AblateInputs, out: Path, resources: Resources
) -> list[Ablation]:
    """A row for each lever of a student with slots of items; what was trained before is not trained again."""
    policy, heads = read_policy(inputs.policy / "policy.md"), plan.heads
    grades = GradedLists.read(heads.graded, policy, inputs.data)
    soft = read_soft_labels(inputs.annotate, heads.all, policy)
    trial = Trial(
        some_drawn(grades.train, ablation.judged, plan.seed),
        some_drawn(grades.constructed, ablation.constructed, plan.seed),
        some_drawn(soft, ablation.annotated, plan.seed),
        replace(plan.student, phases=ablation.phases),
    )
    bench = Bench(
        load_cross_encoder(inputs.start / "model"),
        resources.model(plan.text.backbone),
        text_encoder(plan.text, resources, plan.text.training_tokens),
        heads,
        grades.valid,
        plan.seed,
    )
    whole = bench.measure(trial, out / "whole")
    rows = []
    for lever in ablation.levers:
        found = bench.measure(WITHOUT[lever](trial), out / lever.replace(" ", "-"))
        rows.append(Ablation(lever, {name: bootstrap(found[name] - whole[name]) for name in whole}))
    return rows


def figures(distillation: Distillation, student: Student) -> dict[str, np.ndarray]:
    """f64[lists] by metric: NDCG@10 of the first graded head, AUC of each action."""
    heads, material, logits_of = distillation.plan.heads, distillation.material, distillation.trainer.logits
    head, graded = heads.graded[0], logits_of(student, material.graded)
    found = {f"{head} NDCG@10": metric_by_list(ndcg_at_10, head, graded[:, 0], material.graded)}
    if heads.actions:
        logged = logits_of(student, material.logged)
        for index, action in enumerate(heads.actions, len(heads.graded)):
            found[f"{action} AUC"] = metric_by_list(auc, action, logged[:, index], material.logged)
    return found


def _train(distillation: Distillation, out: Path) -> Student:
    relevance = distillation.learn_relevance(out)
    if distillation.plan.action_heads is None:
        return relevance
    return distillation.learn_actions(relevance, distillation.plan.action_heads.share, out)


def _without_ranking(distillation: Distillation, out: Path) -> Student:
    """Each pair counts by itself."""
    training = replace(distillation.plan.training, listwise_weight=0.0)
    return _train(replace(distillation, plan=replace(distillation.plan, training=training)), out)


def _without_gold(distillation: Distillation, out: Path) -> Student:
    """Only the teachers' labels."""
    student = replace(distillation.plan.student, gold_anchor=0.0)
    return _train(replace(distillation, plan=replace(distillation.plan, student=student)), out)


def _relabelled(change: Callable[[SoftLabels], SoftLabels]) -> Variant:
    def variant(distillation: Distillation, out: Path) -> Student:
        labelled = []
        for each in distillation.material.labelled:
            labels = dict(each.labels)
            for head in distillation.plan.heads.all:
                labels |= change(SoftLabels.of(labels, head)).by_column(head)
            labelled.append(replace(each, labels=labels))
        return _train(replace(distillation, material=replace(distillation.material, labelled=labelled)), out)

    return variant


def _hard(labels: SoftLabels) -> SoftLabels:
    """Gold in place of the teacher's label, where there is gold."""
    gold = np.clip(labels.gold, CERTAIN, 1 - CERTAIN)
    known = ~np.isnan(gold)
    probability = np.where(known, gold, labels.probability)
    return replace(labels, probability=probability, logit=np.where(known, np.log(gold / (1 - gold)), labels.logit))


def _raw(labels: SoftLabels) -> SoftLabels:
    """The teacher's probability before calibration."""
    return replace(labels, probability=1 / (1 + np.exp(-labels.logit)))


def _without_warm_start(distillation: Distillation, out: Path) -> Student:
    """All heads at once, without a student of relevance to start from."""
    assert distillation.plan.action_heads is not None
    share = distillation.plan.action_heads.share
    return distillation.learn_actions(distillation.trainer.start(out), share, out)


def _without_engagement(distillation: Distillation, out: Path) -> Student:
    """Relevance alone; heads of actions are copies of it."""
    return distillation.learn_actions(distillation.learn_relevance(out), 0.0, out)


VARIANTS: dict[Lever, Variant] = {
    "ranking term": _without_ranking,
    "gold anchor": _without_gold,
    "soft labels": _relabelled(_hard),
    "calibrated labels": _relabelled(_raw),
    "warm start": _without_warm_start,
    "engagement teacher": _without_engagement,
}
"""A student without each lever, by its name in a recipe."""


def _plan(recipe: Recipe) -> AblatePlan:
    return AblatePlan(distill_plan(recipe), recipe.ablated, recipe.item_ablation)


ABLATE = Step("ablate", _plan, AblateInputs, ablate)
