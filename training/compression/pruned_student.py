"""A student with a pruned encoder, trained to embed texts as the unpruned one does.

Distil, prune, distil again, as in arXiv 2502.14305; both sides are read apart meanwhile. Embeddings, heads and the
scorer stay as they are, so the calibration still fits and only the encoder's layers recover.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.text import TextEncoder
from training.compression.structured_pruning import prune, second_moments
from training.data.lists import CandidateList, some_drawn
from training.nets.checkpoints import Student, made_once
from training.nets.cross_encoder import CrossEncoder
from training.nets.inference import length_batches, to_tensors
from training.objectives.in_batch_negatives import imitate
from training.trainer.loop import fit
from training.trainer.schedule import Schedule

CALIBRATION_LISTS = 128
"""Training lists that show which units matter: one member and one candidate of each is read."""


def pruned_student(
    student: Student,
    share: float,
    moments: Callable[[], Sequence[Tensor]],
    schedule: Schedule,
    encoder: TextEncoder,
    train: Sequence[CandidateList],
    folder: Path,
) -> Student:
    """The student with this share of its encoder's feed-forward units. `moments` are those of `student_moments`.

    A finished model in `folder` is loaded, and interrupted training resumes.
    """

    def make() -> CrossEncoder:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        unpruned = student.apart().to(device).eval()
        pruned = copy.deepcopy(unpruned)
        pruned.backbone = prune(student.backbone, share, moments())
        train_layers_only(pruned.to(device))
        fit(pruned, train, imitate(pruned, unpruned, encoder), schedule, folder)
        return pruned

    folder.mkdir(exist_ok=True)
    return student.with_encoder_of(made_once(folder / "model", make).cpu().eval())


def student_moments(student: Student, encoder: TextEncoder, train: Sequence[CandidateList], seed: int) -> list[Tensor]:
    """Second moments of a student on the CPU over a few of its training texts, both sides."""
    return second_moments(student.backbone, _calibration(encoder, some_drawn(train, CALIBRATION_LISTS, seed)))


def train_layers_only(model: CrossEncoder) -> None:
    """Freeze everything but the encoder's layers."""
    layers: Any = model.backbone.encoder
    model.requires_grad_(False)
    layers.requires_grad_(True)


def _calibration(encoder: TextEncoder, lists: Sequence[CandidateList]) -> Iterator[dict[str, Tensor]]:
    """A member and a candidate of each list, in batches of similar length."""
    members = [encoder.member(each.member) for each in lists]
    candidates = encoder.candidates([each.candidates[row % len(each)] for row, each in enumerate(lists)])
    sides = [*members, *candidates]
    for rows in length_batches(sides, 16):
        yield to_tensors(encoder.collate_sides([sides[row] for row in rows]), torch.device("cpu"))
