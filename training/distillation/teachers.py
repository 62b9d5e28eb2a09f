"""The teachers of a recipe: which model labels which heads, and how its outputs become probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.heads import Calibration
from training.nets.checkpoints import FlatTeacher, load_teacher
from training.recipe import Recipe


@dataclass(frozen=True)
class Teacher:
    """A model, the names of its outputs, and the calibration of each."""

    heads: Sequence[str]
    model: FlatTeacher
    calibrations: Mapping[str, Calibration]


def read_teachers(recipe: Recipe, folders: Mapping[str, Path]) -> list[Teacher]:
    """The recipe's teachers in the order of their heads, from the folders of the steps that trained them, by name."""
    teachers = [Teacher(recipe.policy_heads, *load_teacher(folders["teach"]))]
    if recipe.engagement:
        teachers.append(Teacher(recipe.actions, *load_teacher(folders["teach-engagement"])))
    return teachers
