"""Step `ablate`: what each lever of distillation is worth. Each is turned off in turn and the student trained anew.

Every student is held against the whole one on the same validation lists, so that intervals are of paired differences.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from models.text import TextEncoder
from training.data.lists import by_list
from training.distillation.student_trainers import AnyLearner
from training.evaluation.report import Ablation, to_json
from training.files import write_json
from training.metrics.bootstrap import bootstrap
from training.metrics.ranking import auc, evaluate_lists, ndcg_at_10
from training.nets.checkpoints import Student, load_student
from training.recipe import Recipe
from training.steps.distill import Material, learn_actions, learn_relevance, new_learner, read_material

Variant = Callable[[Recipe, AnyLearner, Material, Path], Student]
"""Trains a student without one lever; its checkpoints stand in the folder."""
CERTAIN = 1e-3
"""A hard label's probability is kept this far from 0 and 1, or its logit would have no end."""


def ablate(recipe: Recipe, encoder: TextEncoder, folders: dict[str, Path], readings: Path, out: Path) -> None:
    """Write `ablation.json` to `out`, without rows where the recipe ablates nothing."""
    rows = []
    if recipe.ablated:
        material = read_material(recipe, folders)
        learner = new_learner(recipe, encoder, folders, material, readings)
        whole = figures(recipe, learner, material, load_student(folders["distill"])[0])
        for lever in recipe.ablated:
            folder = out / lever.replace(" ", "-")
            folder.mkdir(exist_ok=True)
            without = figures(recipe, learner, material, LEVERS[lever](recipe, learner, material, folder))
            rows.append(Ablation(lever, {name: bootstrap(without[name] - whole[name]) for name in whole}))
    write_json(out / "ablation.json", to_json(list[Ablation], rows))


def figures(recipe: Recipe, learner: AnyLearner, material: Material, student: Student) -> dict[str, np.ndarray]:
    """f64[lists] by what is judged: NDCG@10 of the first graded head, AUC of each action."""
    found = {}
    logits = by_list(learner.logits(student, material.graded)[:, 0], material.graded)
    head = recipe.policy_heads[0]
    found[f"{head} NDCG@10"] = evaluate_lists(ndcg_at_10, logits, [each.labels[head] for each in material.graded])
    if recipe.actions:
        logged = learner.logits(student, material.logged)
        for index, action in enumerate(recipe.actions, len(recipe.policy_heads)):
            scores = by_list(logged[:, index], material.logged)
            found[f"{action} AUC"] = evaluate_lists(auc, scores, [each.labels[action] for each in material.logged])
    return found


def _taught(recipe: Recipe, learner: AnyLearner, material: Material, out: Path) -> Student:
    relevance = learn_relevance(recipe, learner, material, out)
    if recipe.engagement is None:
        return relevance
    return learn_actions(recipe, learner, material, relevance, recipe.engagement.share, out)


def _unranked(recipe: Recipe, learner: AnyLearner, material: Material, out: Path) -> Student:
    """Each pair by itself: nothing asks for the teacher's order."""
    return _taught(dataclasses.replace(recipe, listwise_weight=0.0), learner, material, out)


def _unanchored(recipe: Recipe, learner: AnyLearner, material: Material, out: Path) -> Student:
    """Nothing but what the teachers say."""
    return _taught(dataclasses.replace(recipe, gold_anchor=0.0), learner, material, out)


def _relabelled(change: Callable[[dict[str, np.ndarray], str], dict[str, np.ndarray]]) -> Variant:
    def variant(recipe: Recipe, learner: AnyLearner, material: Material, out: Path) -> Student:
        labelled = []
        for each in material.labelled:
            labels = dict(each.labels)
            for head in recipe.head_names:
                labels |= change(labels, head)
            labelled.append(dataclasses.replace(each, labels=labels))
        return _taught(recipe, learner, dataclasses.replace(material, labelled=labelled), out)

    return variant


def _hard(labels: dict[str, np.ndarray], head: str) -> dict[str, np.ndarray]:
    """Gold in the teacher's place, where there is gold."""
    gold = np.clip(labels[f"{head}_gold"], CERTAIN, 1 - CERTAIN)
    known = ~np.isnan(gold)
    logits = np.where(known, np.log(gold / (1 - gold)), labels[f"{head}_logit"])
    return {head: np.where(known, gold, labels[head]), f"{head}_logit": logits}


def _raw(labels: dict[str, np.ndarray], head: str) -> dict[str, np.ndarray]:
    """The teacher's probability as it came, before calibration."""
    return {head: 1 / (1 + np.exp(-labels[f"{head}_logit"]))}


def _cold(recipe: Recipe, learner: AnyLearner, material: Material, out: Path) -> Student:
    """All heads at once, none of them from a student that already knows relevance."""
    assert recipe.engagement is not None
    return learn_actions(recipe, learner, material, learner.start(out), recipe.engagement.share, out)


def _alone(recipe: Recipe, learner: AnyLearner, material: Material, out: Path) -> Student:
    """Relevance alone; heads of actions say what fits."""
    return learn_actions(recipe, learner, material, learn_relevance(recipe, learner, material, out), 0.0, out)


LEVERS: dict[str, Variant] = {
    "ranking term": _unranked,
    "gold anchor": _unanchored,
    "soft labels": _relabelled(_hard),
    "calibrated labels": _relabelled(_raw),
    "warm start": _cold,
    "engagement teacher": _alone,
}
"""What can be turned off, by the name that a recipe calls it."""
