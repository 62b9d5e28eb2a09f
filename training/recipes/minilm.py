"""What the recipes share that start from all-MiniLM-L6-v2: how long its teachers and students learn."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from training.data.source_files import SourceFiles
from training.nets.shapes import SplitShape
from training.recipe import Lever, StudentPlan, TeacherPlan, TrainingPlan
from training.trainer.schedule import Phases, Schedule

TRAINING = TrainingPlan(calibration_lists=40)
ALL_LEVERS: tuple[Lever, ...] = get_args(Lever)


def backbone(data: SourceFiles, _: Path) -> str:
    """The folder of all-MiniLM-L6-v2 beside the sources."""
    return str(data.path("minilm_l6_v2"))


def teacher_plan(steps: int) -> TeacherPlan:
    """`steps` with both sides apart, then a few in pairs; half of what the backbone knew is kept."""
    return TeacherPlan(
        phases=Phases(
            sides=Schedule(steps=steps, lists_per_step=16, learning_rate=8e-5, checkpoint_every=20),
            pairs=Schedule(steps=20, lists_per_step=6, learning_rate=1e-6, added_learning_rate=1e-3),
        ),
        backbone_share=0.5,
    )


def student_plan(steps: int, *, lists: int, annotated_lists: int) -> StudentPlan:
    """A dot product of both sides, by the teacher's own encoder."""
    return StudentPlan(
        phases=Phases(
            sides=Schedule(steps=steps, lists_per_step=16, learning_rate=1e-3, added_learning_rate=1e-3),
            pairs=Schedule(steps=80, lists_per_step=16, learning_rate=1e-4, added_learning_rate=1e-4),
        ),
        split=SplitShape(pooled=0, joint_layers=0),
        lists=lists,
        annotated_lists=annotated_lists,
        gold_anchor=0.1,
    )
