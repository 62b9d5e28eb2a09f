"""How a student of either kind learns from soft labels: the same calls for a flat one and a split one.

A flat student starts as some layers of the encoder of step `start`. It first learns, with both sides apart, to embed
every text as the deeper model does (no labels). A dot product keeps its encoder frozen, so that every text is embedded
once.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from models.text import TextEncoder
from training.data.lists import CandidateList
from training.nets.checkpoints import Student, made_once
from training.nets.cross_encoder import CrossEncoder, keep_layers, load_cross_encoder, train_embeddings
from training.nets.inference import predict_lists
from training.nets.split_student import SplitStudent
from training.objectives.dot_product import EmbeddedSides, list_objective, score_lists
from training.objectives.in_batch_negatives import imitate
from training.objectives.pairwise import ListLoss, pair_objective
from training.recipe import StudentPlan
from training.trainer.loop import fit
from training.trainer.schedule import Schedule

Lists = Sequence[CandidateList]
Kind = TypeVar("Kind", bound=Student)


class StudentTrainer(Protocol[Kind]):
    """Trains students of one kind."""

    def start(self, out: Path) -> Kind:
        """A student with the policy teacher's heads, initialized from the teacher; training files go to `out`."""

    def learn(self, student: Kind, labelled: Lists, loss: ListLoss, schedule: Schedule, out: Path) -> None:
        """Train the student on soft labels, in place; checkpoints go to `out`."""

    def logits(self, student: Kind, lists: Lists) -> np.ndarray:
        """f32[pairs of all lists, H], in order."""


AnyTrainer = StudentTrainer[Any]


@dataclass(frozen=True)
class FlatTrainer:
    """Cross-encoders of some layers of the encoder in the folder `deep`."""

    plan: StudentPlan
    encoder: TextEncoder
    deep: Path
    train: Lists
    train_embeddings: bool

    def start(self, out: Path) -> CrossEncoder:
        """A student that has learnt to imitate the teacher with both sides apart."""

        def imitating() -> CrossEncoder:
            deep = load_cross_encoder(self.deep / "model").eval()
            model = train_embeddings(keep_layers(deep, self.plan.layers), self.train_embeddings)
            fit(model, self.train, imitate(model, deep, self.encoder), self.plan.phases.sides, out / "sides")
            return model

        return train_embeddings(made_once(out / "sides" / "model", imitating), self.train_embeddings)

    def learn(self, student: CrossEncoder, labelled: Lists, loss: ListLoss, schedule: Schedule, out: Path) -> None:
        fit(student, labelled, pair_objective(student, self.encoder, loss), schedule, out)

    def logits(self, student: CrossEncoder, lists: Lists) -> np.ndarray:
        return predict_lists(student, self.encoder, lists)


@dataclass(frozen=True)
class DotTrainer:
    """Dot products, copies of one; only their weights train, on cached embeddings of all lists in `sides`."""

    untrained: SplitStudent
    sides: EmbeddedSides

    def start(self, out: Path) -> SplitStudent:
        """A student that ranks as the cosine does."""
        del out
        return copy.deepcopy(self.untrained)

    def learn(self, student: SplitStudent, labelled: Lists, loss: ListLoss, schedule: Schedule, out: Path) -> None:
        fit(student.scorer, labelled, list_objective(student, self.sides, loss), schedule, out)

    def logits(self, student: SplitStudent, lists: Lists) -> np.ndarray:
        return score_lists(student, self.sides, lists)
