"""Training of the joint part: every member of a batch meets every candidate of it, from encodings made once.

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
from training.objectives.embedding_cache import EncodedTexts, encode_candidates, encode_members
from training.objectives.in_batch_negatives import batch_gains, distinct_candidates
from training.objectives.losses import list_kl
from training.objectives.pairwise import ListLoss, label_lists
from training.trainer.distributed import Objective


@dataclass(frozen=True)
class Sides:
    """Both sides of some lists as the frozen encoder read them."""

    members: EncodedTexts
    candidates: EncodedTexts


def encode_sides(student: SplitStudent, encoder: TextEncoder, lists: Sequence[CandidateList], kept: Path) -> Sides:
    """Read every text of the lists once; what stands in the folder `kept` is not read again."""
    members = list(dict.fromkeys(each.member for each in lists))
    return Sides(
        encode_members(student, encoder, members, kept),
        encode_candidates(student, encoder, distinct_candidates(lists), kept),
    )


def contrast_jointly(student: SplitStudent, sides: Sides, heads: Sequence[str]) -> Objective:
    """Listwise KL to the gains, over each member's own list and over all candidates of the batch, as `contrast` has it
    for the teacher; plus the KL to the cosine's ranking of the batch, which lists without any gain have alone.

    The cosine is the teacher's own: the joint part learns what it can add, and stays with it elsewhere.
    """

    def objective(lists: Sequence[CandidateList]) -> Tensor:
        logits_MUH, cosine_MUH = _meet(student, sides, lists)
        terms = []
        for index, head in enumerate(heads):
            logits_MU = logits_MUH[..., index]
            gains_MU, is_own_MU = batch_gains(lists, head)
            everything_MU = torch.ones_like(is_own_MU)
            learn = list_kl(logits_MU, gains_MU, is_own_MU) + list_kl(logits_MU, gains_MU, everything_MU)
            keep = list_kl(logits_MU, torch.softmax(cosine_MUH[..., index], dim=1), everything_MU)
            terms.append(learn + keep)
        return torch.stack(terms).mean()

    return objective


def own_lists(student: SplitStudent, sides: Sides, loss: ListLoss) -> Objective:
    """Score every member's own candidates and hand the logits to `loss`."""

    def objective(lists: Sequence[CandidateList]) -> Tensor:
        logits_MUH, _ = _meet(student, sides, lists)
        place = {text: index for index, text in enumerate(distinct_candidates(lists))}
        longest = max(map(len, lists))
        places_LC = torch.tensor(
            [[place[text] for text in each.candidates] + [0] * (longest - len(each)) for each in lists]
        )
        logits_LCH = logits_MUH.take_along_dim(places_LC.unsqueeze(-1), dim=1)
        return loss(logits_LCH, label_lists(lists, logits_LCH.device))

    return objective


def _meet(student: SplitStudent, sides: Sides, lists: Sequence[CandidateList]) -> tuple[Tensor, Tensor]:
    """Logits f32[M, U, H] of every member with every candidate: the student's, and those of the bare cosine."""
    members, mask_MT = sides.members.reading([each.member for each in lists])
    candidates, mask_UT = sides.candidates.reading(distinct_candidates(lists))
    slots_MUSD = student.slots(candidates, mask_UT).expand(len(lists), -1, -1, -1)
    logits = student.scorer(members.vector, slots_MUSD, student.keys_values(members, mask_MT), mask_MT)
    return logits, student.scorer.cosine(members.vector, slots_MUSD).detach()


@torch.inference_mode()
def score_lists(student: SplitStudent, sides: Sides, lists: Sequence[CandidateList]) -> np.ndarray:
    """Logits f32[pairs of all lists, H], in order."""
    found = []
    for each in lists:
        logits_1UH, _ = _meet(student, sides, [each])
        place = {text: index for index, text in enumerate(distinct_candidates([each]))}
        found.append(logits_1UH[0, [place[text] for text in each.candidates]].numpy())
    return np.concatenate(found)
