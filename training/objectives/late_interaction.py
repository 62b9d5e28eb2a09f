"""Training of the late-interaction part: every member of a batch with every candidate of it, from cached encodings.

M members (one a list), U distinct candidate texts of a batch, C candidates of the longest list, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.text import TextEncoder
from training.data.lists import CandidateList
from training.nets.split_student import SplitStudent
from training.objectives.embedding_cache import EncodedTexts, encode_texts
from training.objectives.in_batch_negatives import batch_gains, distinct_candidates, graded_info_nce
from training.objectives.losses import list_kl
from training.objectives.pairwise import ListLoss, label_lists
from training.trainer.distributed import Objective


@dataclass(frozen=True)
class EncodedSides:
    """Both sides of some lists, encoded by the frozen encoder."""

    members: EncodedTexts
    candidates: EncodedTexts


def encode_sides(
    student: SplitStudent, encoder: TextEncoder, lists: Sequence[CandidateList], cache: Path
) -> EncodedSides:
    """Encode every text of the lists once, unless the folder `cache` has it."""
    members, candidates = list(dict.fromkeys(each.member for each in lists)), distinct_candidates(lists)
    return EncodedSides(
        encode_texts(student, encoder, members, [encoder.member(text) for text in members], cache),
        encode_texts(student, encoder, candidates, encoder.candidates(candidates), cache),
    )


def contrast_jointly(student: SplitStudent, sides: EncodedSides, heads: Sequence[str]) -> Objective:
    """Graded InfoNCE as in `contrast`, plus the listwise KL to the cosine's ranking of the batch.

    Lists without any gain have only the second term. The cosine is the teacher's own: the joint part learns what it
    can add, and keeps the cosine's ranking elsewhere.
    """

    def objective(lists: Sequence[CandidateList]) -> Tensor:
        logits_MUH, cosine_MUH = _interact(student, sides, lists)
        terms = []
        for index, head in enumerate(heads):
            logits_MU, cosine_MU = logits_MUH[..., index], cosine_MUH[..., index]
            everything_MU = torch.ones_like(cosine_MU, dtype=torch.bool)
            keep = list_kl(logits_MU, torch.softmax(cosine_MU, dim=1), everything_MU)
            terms.append(graded_info_nce(logits_MU, *batch_gains(lists, head)) + keep.value)
        return torch.stack(terms).mean()

    return objective


def list_objective(student: SplitStudent, sides: EncodedSides, loss: ListLoss) -> Objective:
    """Score every member's own candidates and pass the logits to `loss`."""

    def objective(lists: Sequence[CandidateList]) -> Tensor:
        logits_MUH, _ = _interact(student, sides, lists)
        column = {text: index for index, text in enumerate(distinct_candidates(lists))}
        longest = max(map(len, lists))
        columns_MC = torch.tensor(
            [[column[text] for text in each.candidates] + [0] * (longest - len(each)) for each in lists]
        )
        logits_MCH = logits_MUH.take_along_dim(columns_MC.unsqueeze(-1), dim=1)
        return loss(logits_MCH, label_lists(lists, logits_MCH.device)).value()

    return objective


def _interact(student: SplitStudent, sides: EncodedSides, lists: Sequence[CandidateList]) -> tuple[Tensor, Tensor]:
    """Logits f32[M, U, H] of every member with every candidate: the student's, and those of the cosine alone."""
    members, mask_MT = sides.members.select([each.member for each in lists])
    candidates, mask_UT = sides.candidates.select(distinct_candidates(lists))
    slots_MUSD = student.slots(candidates, mask_UT).expand(len(lists), -1, -1, -1)
    logits = student.scorer(members.vector, slots_MUSD, student.keys_values(members, mask_MT), mask_MT)
    return logits, student.scorer.cosine(members.vector, slots_MUSD).detach()


@torch.inference_mode()
def score_lists(student: SplitStudent, sides: EncodedSides, lists: Sequence[CandidateList]) -> np.ndarray:
    """Logits f32[pairs of all lists, H], in order."""
    found = []
    for each in lists:
        logits_1UH, _ = _interact(student, sides, [each])
        column = {text: index for index, text in enumerate(distinct_candidates([each]))}
        found.append(logits_1UH[0, [column[text] for text in each.candidates]].numpy())
    return np.concatenate(found)
