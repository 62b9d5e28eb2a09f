"""What the recipes share that start from all-MiniLM-L6-v2: how long its teachers and students learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from training.data.pool import PoolPlan
from training.data.source_files import SourceFiles
from training.nets.shapes import DOT, SplitShape
from training.policy.policy import RELEVANCE
from training.recipe import ItemAblation, StartPlan, StudentPlan, Sweep, TeacherPlan, TrainingPlan
from training.trainer.schedule import Phases, Schedule

TRAINING = TrainingPlan(calibration_lists=40)
BUNDLES = Path(__file__).parents[2] / "models"


def backbone(data: SourceFiles, folder: Path) -> str:
    """The folder of all-MiniLM-L6-v2 beside the sources; without it, the encoder that a shipped bundle carries."""
    if data.has("minilm_l6_v2"):
        return str(data.path("minilm_l6_v2"))
    from training.compression.bundle_encoder import write_bundle_encoder  # it imports torch

    return write_bundle_encoder(data.path(str(next(iter(sorted(BUNDLES.glob("*-v*")))))), folder)


def start_plan(steps: int) -> StartPlan:
    """Half of what the backbone knew is kept."""
    schedule = Schedule(steps=steps, lists_per_step=16, learning_rate=8e-5, checkpoint_every=20)
    return StartPlan(schedule=schedule, backbone_share=0.5)


def teacher_backbone(data: SourceFiles, folder: Path) -> str:
    """The folder of all-mpnet-base-v2 beside the sources, or the student's backbone where it is not."""
    mpnet = "all_mpnet_base_v2"
    return str(data.path(mpnet)) if data.has(mpnet) else backbone(data, folder)


def teacher_plan(apart: int, *, together: int, pool: PoolPlan) -> TeacherPlan:
    """A list a step: so many steps with the backbone frozen, then with its upper layers. A reader of each backbone."""
    return TeacherPlan(
        backbones=(teacher_backbone, None),
        apart=Schedule(
            steps=apart,
            lists_per_step=1,
            learning_rate=0.0,
            added_learning_rate=1e-3,
            weight_decay=0.05,
            checkpoint_every=50,
        ),
        schedule=Schedule(
            steps=together,
            lists_per_step=1,
            learning_rate=4e-5,
            added_learning_rate=2e-4,
            weight_decay=0.05,
            checkpoint_every=20,
        ),
        weights={RELEVANCE: 2.0, "seniority": 1.5, "constraints": 1.5},
        pool=pool,
    )


def student_plan(steps: int, *, annotated_lists: int) -> StudentPlan:
    """A dot product of both sides, by the teacher's own encoder."""
    return StudentPlan(
        phases=Phases(
            sides=Schedule(steps=steps, lists_per_step=16, learning_rate=1e-3, added_learning_rate=1e-3),
            pairs=Schedule(steps=80, lists_per_step=16, learning_rate=1e-4, added_learning_rate=1e-4),
        ),
        split=DOT,
        annotated_lists=annotated_lists,
        gold_anchor=0.1,
    )


ITEMS = SplitShape(slots=16, width=128)
"""A state of 3,968 bytes: with its header it fits a page of the store."""
FROZEN = Schedule(
    steps=2000, lists_per_step=1, learning_rate=0.0, added_learning_rate=1e-3, weight_decay=0.05, checkpoint_every=50
)


def item_student_plan(steps: int, *, constructed: int | None, annotated_lists: int) -> StudentPlan:
    """Slots of items, on the encoder of step `start`: first frozen, then `steps` with its upper half.

    It learns from all judged lists, from so many `constructed` ones, and from soft labels.
    """
    upper = Schedule(
        steps=steps,
        lists_per_step=1,
        learning_rate=5e-5,
        added_learning_rate=3e-4,
        weight_decay=0.05,
        checkpoint_every=25,
    )
    return StudentPlan(
        phases=Phases(sides=FROZEN, pairs=upper),
        split=ITEMS,
        lists=constructed,
        annotated_lists=annotated_lists,
        gold_anchor=1.0,
        output_weights={RELEVANCE: 2.0, "seniority": 1.5, "constraints": 1.5},
    )


def item_ablation() -> ItemAblation:
    """Seven short trainings, each from a small part of the lists."""
    return ItemAblation(
        phases=Phases(
            sides=replace(FROZEN, steps=150),
            pairs=replace(FROZEN, steps=40, learning_rate=1e-4, added_learning_rate=5e-4, checkpoint_every=25),
        ),
        judged=120,
        constructed=60,
        annotated=60,
    )


def sweep(steps: int) -> Sweep:
    """From a dot product to the shipped shape, each with the encoder's upper half trained for as long."""
    schedule = Schedule(
        steps=steps, lists_per_step=1, learning_rate=5e-5, added_learning_rate=1e-3, checkpoint_every=25
    )
    shapes = (DOT, replace(ITEMS, slots=1), replace(ITEMS, slots=4), ITEMS)
    return Sweep(shapes, schedule)
