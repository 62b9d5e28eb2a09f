"""The teachers of a recipe: which model labels which heads, and how its outputs become labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.heads import Calibration
from training.data.soft_labels import Answers, SoftColumns, SoftLabels
from training.nets.checkpoints import PolicyTeacher, is_policy_teacher, load_policy_teacher, read_calibrations
from training.nets.cross_encoder import CrossEncoder, load_cross_encoder


@dataclass(frozen=True)
class Teacher:
    """A model, the names of its heads, and the calibration of each.

    The policy teacher grades; the engagement teacher puts out one logit for each action.
    """

    heads: Sequence[str]
    model: PolicyTeacher | CrossEncoder
    calibrations: Mapping[str, Calibration]

    @property
    def grades(self) -> bool:
        """Whether it is the policy teacher."""
        return not isinstance(self.model, CrossEncoder)

    @property
    def columns(self) -> list[str]:
        """A name for each of the model's outputs, in order."""
        if not self.grades:
            return list(self.heads)
        named = map(SoftColumns.of, self.heads)
        return [name for columns in named for name in (*columns.at_least, columns.answerable)]

    def logits(self, outputs: np.ndarray) -> np.ndarray:
        """The logit of each head f64[N, H], from the model's outputs f32[N, len(columns)]."""
        return Answers.of(outputs).logits if self.grades else outputs

    def soft_labels(self, outputs: np.ndarray, gold: Mapping[str, np.ndarray]) -> dict[str, SoftLabels]:
        """Labels of each head, with the gains in `gold` of heads that have any."""
        logits, unknown = self.logits(outputs), np.full(len(outputs), np.nan)
        found = {}
        for index, head in enumerate(self.heads):
            probability = self.calibrations[head].apply(logits[:, index]).astype(np.float64)
            found[head] = SoftLabels.of_action(probability, logits[:, index].astype(np.float32))
            if self.grades:
                answers = Answers.of(outputs)
                steps, answerable = answers.at_least[:, index], answers.answerable[:, index]
                gains = gold.get(head, unknown)
                found[head] = SoftLabels(probability, found[head].logit, gains, answerable, steps)
        return found


def read_teachers(actions: Sequence[str], teach: Path, teach_engagement: Path) -> list[Teacher]:
    """The policy teacher, if there are graded heads, and that of actions, if there are any, from their folders."""
    teachers = []
    if is_policy_teacher(teach):
        policy = load_policy_teacher(teach)
        teachers.append(Teacher(policy.heads, policy, read_calibrations(teach)))
    if actions:
        engagement = load_cross_encoder(teach_engagement / "model")
        teachers.append(Teacher(actions, engagement, read_calibrations(teach_engagement)))
    return teachers
