"""A student with a narrower encoder: pruned, then taught to place texts where the whole one does.

Distil, prune, distil again, as in arXiv 2502.14305; both sides are read apart meanwhile. Embeddings, heads and what a
split student has on top stay as they are, so that its calibration still fits and only layers learn what they lost.
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
from training.nets.split_student import SplitStudent
from training.objectives.in_batch_negatives import imitate
from training.trainer.loop import fit
from training.trainer.schedule import Schedule

CALIBRATION_LISTS = 128
"""Training lists of which a member and a candidate each are read to see which units matter."""


def narrow_student(
    student: Student,
    share: float,
    moments: Callable[[], Sequence[Tensor]],
    schedule: Schedule,
    encoder: TextEncoder,
    train: Sequence[CandidateList],
    folder: Path,
) -> Student:
    """The student with this share of its encoder's feed-forward units; what was made in `folder` is not made again, and
    what was begun goes on. `moments` are those of `student_moments`.
    """

    def make() -> CrossEncoder:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        whole = apart(student).to(device).eval()
        narrow = copy.deepcopy(whole)
        narrow.backbone = prune(student.backbone, share, moments())
        layers_alone(narrow.to(device))
        fit(narrow, train, imitate(narrow, whole, encoder), schedule, folder)
        return narrow

    folder.mkdir(exist_ok=True)
    return with_encoder_of(student, made_once(folder / "model", make).cpu().eval())


def student_moments(student: Student, encoder: TextEncoder, train: Sequence[CandidateList], seed: int) -> list[Tensor]:
    """Moments of a student on the CPU over a few of its training texts, both sides."""
    return second_moments(student.backbone, _calibration(encoder, some_drawn(train, CALIBRATION_LISTS, seed)))


def apart(student: Student) -> CrossEncoder:
    """A copy that reads both sides apart and matches their embeddings, whichever kind the student is."""
    if isinstance(student, CrossEncoder):
        return copy.deepcopy(student)
    model = CrossEncoder(copy.deepcopy(student.backbone), student.num_heads)
    model.load_state_dict({"weight": student.scorer.weight, "bias": student.scorer.bias}, strict=False)
    return model


def with_encoder_of(student: Student, sides: CrossEncoder) -> Student:
    """The student with the encoder of `sides`, which is such a copy; a joint part stays as it is."""
    if not isinstance(student, SplitStudent):
        return sides
    return SplitStudent(sides.backbone, copy.deepcopy(student.scorer), student.shape).eval()


def layers_alone(model: CrossEncoder) -> None:
    """Let nothing but the encoder's layers learn."""
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
