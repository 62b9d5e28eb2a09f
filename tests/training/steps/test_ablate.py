"""A lever that matters shows in the ablation, and one that cannot matter does not."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.text import TextEncoder
from tests.support.two_questions import HEADS, labelled
from training.data.lists import labelled_for
from training.distillation.student_trainers import FlatLearner
from training.nets.cross_encoder import new_cross_encoder
from training.recipe import HeadPlan, Recipe
from training.recipes.registry import find
from training.steps.ablate import LEVERS, figures
from training.steps.distill import Material, learn_actions, learn_relevance
from training.trainer.schedule import Phases, Schedule

SCHEDULE = Schedule(steps=60, lists_per_step=6, learning_rate=2e-3, added_learning_rate=1e-2)


@pytest.fixture
def recipe() -> Recipe:
    demo = find("demo")
    assert demo.engagement is not None
    return replace(
        demo,
        heads=(HeadPlan("relevance", "fits", 1.0), HeadPlan("click", "clicks", 0.0)),
        engagement=replace(demo.engagement, actions=("click",), rare=(), student=SCHEDULE),
        student=Phases(sides=replace(SCHEDULE, steps=1), pairs=SCHEDULE),
        student_layers=(0, 1),
    )


@pytest.fixture
def material(backbone: str) -> Material:
    graded = [replace(each, labels={head: each.labels[f"{head}_gold"] for head in HEADS}) for each in labelled()]
    teacher = new_cross_encoder(backbone, 1)
    return Material(
        labelled(["relevance"]), labelled_for(graded, ["relevance"]), labelled_for(graded, ["click"]), teacher
    )


@pytest.mark.slow
def test_what_a_lever_is_worth_is_found(
    recipe: Recipe, material: Material, backbone: str, encoder: TextEncoder, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    (tmp_path / "sides").mkdir()
    new_cross_encoder(backbone, 1).save(tmp_path / "sides" / "model")
    learner = FlatLearner(recipe, encoder, tmp_path, material.labelled)
    (tmp_path / "whole").mkdir()
    relevance = learn_relevance(recipe, learner, material, tmp_path / "whole")
    whole = figures(recipe, learner, material, learn_actions(recipe, learner, material, relevance, 0.5, tmp_path))
    assert {name: values.mean() for name, values in whole.items()} == {"relevance NDCG@10": 1.0, "click AUC": 1.0}

    def without(lever: str) -> dict[str, np.ndarray]:
        (tmp_path / lever).mkdir()
        return figures(recipe, learner, material, LEVERS[lever](recipe, learner, material, tmp_path / lever))

    # its click head says what fits: right for the baker, wrong for the two others
    assert without("engagement teacher")["click AUC"].mean() < 0.9
    # its labels are calibrated as they come, so that nothing changes where calibration is left out
    np.testing.assert_array_equal(without("calibrated labels")["click AUC"], whole["click AUC"])


def test_a_recipe_whose_heads_are_out_of_order_is_refused(recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="graded ones, then the actions"):
        dataclasses.replace(recipe, heads=recipe.heads[::-1])
