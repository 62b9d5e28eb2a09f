"""How a student of either kind learns from soft labels: the same calls for a flat one and a split one.

A flat student starts as some of the teacher's layers and first learns, with both sides apart, to place every text where
the deeper model does (no labels). A split student keeps the teacher's encoder as it is, which then reads every text
once, and first learns what its joint part can add.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from models.text import TextEncoder
from training.data.lists import CandidateList, some_drawn
from training.nets.checkpoints import Student, made_once
from training.nets.cross_encoder import CrossEncoder, keep_layers, load_cross_encoder, train_embeddings
from training.nets.inference import predict_lists
from training.nets.split_student import SplitStudent, new_split_student
from training.objectives.in_batch_negatives import imitate
from training.objectives.late_interaction import contrast_jointly, encode_sides, own_lists, score_lists
from training.objectives.pairwise import ListLoss, pair_objective
from training.recipe import Recipe
from training.trainer.loop import fit
from training.trainer.schedule import Schedule

Lists = Sequence[CandidateList]


class Learner(Protocol):
    """Students of one kind."""

    def start(self, out: Path) -> Student:
        """A student with the policy teacher's heads, warm from it; what that took to train stands in `out`."""

    def learn(self, student: Student, labelled: Lists, loss: ListLoss, schedule: Schedule, out: Path) -> None:
        """Train the student on soft labels, in place; its checkpoints stand in `out`."""

    def logits(self, student: Student, lists: Lists) -> np.ndarray:
        """f32[pairs of all lists, H], in order."""


class FlatLearner:
    """Cross-encoders of some of the teacher's layers."""

    def __init__(self, recipe: Recipe, encoder: TextEncoder, teacher: Path, train: Lists) -> None:
        self._recipe = recipe
        self._encoder = encoder
        self._teacher = teacher
        self._train = train

    def start(self, out: Path) -> Student:
        """After the phase in which it imitates the teacher with both sides apart."""
        recipe = self._recipe

        def shrunk() -> CrossEncoder:
            deep = load_cross_encoder(self._teacher / "sides" / "model").eval()
            model = train_embeddings(keep_layers(deep, recipe.student_layers), recipe.train_embeddings)
            fit(model, self._train, imitate(model, deep, self._encoder), recipe.student.sides, out / "sides")
            return model

        return train_embeddings(made_once(out / "sides" / "model", shrunk), recipe.train_embeddings)

    def learn(self, student: Student, labelled: Lists, loss: ListLoss, schedule: Schedule, out: Path) -> None:
        """In pairs."""
        assert isinstance(student, CrossEncoder)
        fit(student, labelled, pair_objective(student, self._encoder, loss), schedule, out)

    def logits(self, student: Student, lists: Lists) -> np.ndarray:
        """Every pair read whole."""
        assert isinstance(student, CrossEncoder)
        return predict_lists(student, self._encoder, lists)


class SplitLearner:
    """Split students of the recipe's shape, on the encoder `start`; only their joint part moves.

    `others` are all lists, beside those trained on by gains, that students will learn from or score.
    """

    def __init__(
        self,
        recipe: Recipe,
        encoder: TextEncoder,
        start: CrossEncoder,
        train: Lists,
        others: Lists,
        readings: Path,
    ) -> None:
        assert recipe.split is not None
        self._recipe = recipe
        self._seen = some_drawn(train, recipe.student_lists, recipe.seed)
        self._untaught = new_split_student(start, recipe.split).eval()
        self._sides = encode_sides(self._untaught, encoder, [*self._seen, *others], readings)

    def start(self, out: Path) -> Student:
        """After the phase in which its joint layers, where it has any, learn from the gains."""
        recipe = self._recipe
        student = copy.deepcopy(self._untaught)
        if student.shape.joint_layers:
            objective = contrast_jointly(student, self._sides, recipe.policy_heads)
            fit(student.scorer, self._seen, objective, recipe.student.sides, out / "joint")
        return student

    def learn(self, student: Student, labelled: Lists, loss: ListLoss, schedule: Schedule, out: Path) -> None:
        """From readings that were made once."""
        assert isinstance(student, SplitStudent)
        fit(student.scorer, labelled, own_lists(student, self._sides, loss), schedule, out)

    def logits(self, student: Student, lists: Lists) -> np.ndarray:
        """Of lists among `others`."""
        assert isinstance(student, SplitStudent)
        return score_lists(student, self._sides, lists)
