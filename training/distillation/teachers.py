"""The teachers of a recipe: which model labels which heads, and how its outputs become probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.heads import Calibration
from training.nets.checkpoints import TeacherModel, load_teacher
from training.recipe import HeadNames


@dataclass(frozen=True)
class Teacher:
    """A model, the names of its outputs, and the calibration of each."""

    heads: Sequence[str]
    model: TeacherModel
    calibrations: Mapping[str, Calibration]


def read_teachers(heads: HeadNames, teach: Path, teach_engagement: Path) -> list[Teacher]:
    """The policy teacher, and the engagement teacher if there are actions, from the folders of their steps."""
    teachers = [Teacher(heads.graded, *load_teacher(teach))]
    if heads.actions:
        teachers.append(Teacher(heads.actions, *load_teacher(teach_engagement)))
    return teachers
