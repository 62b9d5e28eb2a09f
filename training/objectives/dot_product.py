"""Training of a dot product's weights: every member of a batch with every candidate of it, from cached embeddings.

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
from training.objectives.embedding_cache import EmbeddedTexts, embed_texts
from training.objectives.in_batch_negatives import distinct_candidates
from training.objectives.pairwise import ListLoss, label_lists
from training.trainer.distributed import Objective


@dataclass(frozen=True)
class EmbeddedSides:
    """Both sides of some lists, embedded by the frozen encoder."""

    members: EmbeddedTexts
    candidates: EmbeddedTexts


def embed_sides(
    student: SplitStudent, encoder: TextEncoder, lists: Sequence[CandidateList], cache: Path
) -> EmbeddedSides:
    """Embed every text of the lists once, unless the folder `cache` has it."""
    members, candidates = list(dict.fromkeys(each.member for each in lists)), distinct_candidates(lists)
    return EmbeddedSides(
        embed_texts(student, encoder, members, [encoder.member(text) for text in members], cache),
        embed_texts(student, encoder, candidates, encoder.candidates(candidates), cache),
    )


def list_objective(student: SplitStudent, sides: EmbeddedSides, loss: ListLoss) -> Objective:
    """Score every member's own candidates and pass the logits to `loss`."""

    def objective(lists: Sequence[CandidateList]) -> Tensor:
        logits_MUH = _logits(student, sides, lists)
        column = {text: index for index, text in enumerate(distinct_candidates(lists))}
        longest = max(map(len, lists))
        columns_MC = torch.tensor(
            [[column[text] for text in each.candidates] + [0] * (longest - len(each)) for each in lists]
        )
        logits_MCH = logits_MUH.take_along_dim(columns_MC.unsqueeze(-1), dim=1)
        return loss(logits_MCH, label_lists(lists, logits_MCH.device)).value()

    return objective


def _logits(student: SplitStudent, sides: EmbeddedSides, lists: Sequence[CandidateList]) -> Tensor:
    """Logits f32[M, U, H] of every member with every candidate."""
    members_MD = sides.members.select([each.member for each in lists])
    candidates_UD = sides.candidates.select(distinct_candidates(lists))
    found: Tensor = student.scorer(members_MD, candidates_UD[None, :, None])
    return found


@torch.inference_mode()
def score_lists(student: SplitStudent, sides: EmbeddedSides, lists: Sequence[CandidateList]) -> np.ndarray:
    """Logits f32[pairs of all lists, H], in order."""
    found = []
    for each in lists:
        logits_1UH = _logits(student, sides, [each])
        column = {text: index for index, text in enumerate(distinct_candidates([each]))}
        found.append(logits_1UH[0, [column[text] for text in each.candidates]].numpy())
    return np.concatenate(found)
