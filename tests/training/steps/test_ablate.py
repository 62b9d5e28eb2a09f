"""A lever that matters shows in the ablation, and one that cannot matter does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.text import TextEncoder
from tests.support.two_questions import HEADS, labelled
from training.data.lists import labelled_for
from training.distillation.student_trainers import FlatTrainer
from training.nets.cross_encoder import new_cross_encoder
from training.recipe import ActionHeadsPlan, HeadNames, Lever, StudentPlan
from training.recipes import find_recipe
from training.steps.ablate import VARIANTS, figures
from training.steps.distill import Distillation, DistillPlan, Material
from training.trainer.schedule import Phases, Schedule

SCHEDULE = Schedule(steps=60, lists_per_step=6, learning_rate=2e-3, added_learning_rate=1e-2)


@pytest.fixture
def plan() -> DistillPlan:
    demo = find_recipe("demo")
    phases = Phases(sides=replace(SCHEDULE, steps=1), pairs=SCHEDULE)
    return DistillPlan(
        HeadNames(("relevance",), ("click",)),
        demo.text,
        demo.training,
        StudentPlan(phases=phases, layers=(0, 1), gold_anchor=0.1),
        ActionHeadsPlan(schedule=SCHEDULE),
        seed=0,
    )


@pytest.fixture
def material(backbone: str) -> Material:
    graded = [replace(each, labels={head: each.labels[f"{head}_gold"] for head in HEADS}) for each in labelled()]
    teacher = new_cross_encoder(backbone, 1)
    return Material(
        labelled(["relevance"]), labelled_for(graded, ["relevance"]), labelled_for(graded, ["click"]), teacher
    )


@pytest.mark.slow
def test_the_ablation_measures_what_a_lever_is_worth(
    plan: DistillPlan, material: Material, backbone: str, encoder: TextEncoder, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    (tmp_path / "sides").mkdir()
    new_cross_encoder(backbone, 1).save(tmp_path / "sides" / "model")
    new_cross_encoder(backbone, 1).save(tmp_path / "model")
    trainer = FlatTrainer(plan.student, encoder, tmp_path, material.labelled, train_embeddings=True)
    distillation = Distillation(plan, material, trainer)
    (tmp_path / "whole").mkdir()
    relevance = distillation.learn_relevance(tmp_path / "whole")
    whole = figures(distillation, distillation.learn_actions(relevance, 0.5, tmp_path))
    assert {name: values.mean() for name, values in whole.items()} == {"relevance NDCG@10": 1.0, "click AUC": 1.0}

    def without(lever: Lever) -> dict[str, np.ndarray]:
        (tmp_path / lever).mkdir()
        return figures(distillation, VARIANTS[lever](distillation, tmp_path / lever))

    # its click head says what fits: right for the baker, wrong for the two others
    assert without("engagement teacher")["click AUC"].mean() < 0.9
    # its labels are calibrated as they come, so that nothing changes where calibration is left out
    np.testing.assert_array_equal(without("calibrated labels")["click AUC"], whole["click AUC"])


def test_a_recipe_whose_heads_are_out_of_order_is_refused() -> None:
    recipe = find_recipe("demo")
    with pytest.raises(ValueError, match="graded ones, then the actions"):
        replace(recipe, heads=recipe.heads[::-1])
