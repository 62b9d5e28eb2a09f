"""The bi-encoder phase: both sides are encoded apart, and the candidates of other lists are negatives.

Each text is encoded once and every member of a batch meets every candidate of it: a thousand pairs at the cost of a
hundred texts. L lists, U distinct candidate texts of a batch, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.text import TextEncoder, TokenIds
from training.data.lists import CandidateList
from training.nets.cross_encoder import CrossEncoder
from training.nets.inference import MULTIPLE, in_length_order, to_tensors
from training.objectives.losses import list_kl
from training.trainer.distributed import Objective
from training.trainer.precision import autocast


def contrast(model: CrossEncoder, encoder: TextEncoder, heads: Sequence[str]) -> Objective:
    """Graded InfoNCE of every member with all candidates of the batch; the mean over heads."""

    def objective(lists: Sequence[CandidateList]) -> Tensor:
        logits_LUH = _match_all(model, *embed_lists(model, encoder, lists))
        terms = []
        for index, head in enumerate(heads):
            gains_LU, is_own_LU = (tensor.to(logits_LUH.device) for tensor in batch_gains(lists, head))
            terms.append(graded_info_nce(logits_LUH[..., index], gains_LU, is_own_LU))
        return torch.stack(terms).mean()

    return objective


def graded_info_nce(logits_LU: Tensor, gains_LU: Tensor, is_own_LU: Tensor) -> Tensor:
    """Listwise KL to the gains, twice: over each member's own list, and over all candidates of the batch.

    In the second, candidates of other lists count as not fitting (in-batch negatives: InfoNCE with graded targets).
    """
    everything_LU = torch.ones_like(is_own_LU)
    return list_kl(logits_LU, gains_LU, is_own_LU).value + list_kl(logits_LU, gains_LU, everything_LU).value


def imitate(student: CrossEncoder, teacher: CrossEncoder, encoder: TextEncoder) -> Objective:
    """Match the teacher's embeddings, and its ranking of the batch's candidates for each member.

    The mean of 1 - cosine of the embeddings, plus the listwise KL to the teacher's logits over all candidates of
    the batch, the mean over heads. Needs no labels.
    """

    def objective(lists: Sequence[CandidateList]) -> Tensor:
        with torch.no_grad():
            wanted = embed_lists(teacher, encoder, lists)
            wanted_LUH = torch.softmax(_match_all(teacher, *wanted), dim=1)
        found = embed_lists(student, encoder, lists)
        found_LUH = _match_all(student, *found)
        distance = (1 - (torch.cat(found) * torch.cat(wanted)).sum(1)).mean()
        everything_LU = torch.ones(found_LUH.shape[:2], dtype=torch.bool, device=found_LUH.device)
        heads = range(student.num_heads)
        divergences = [list_kl(found_LUH[..., each], wanted_LUH[..., each], everything_LU).value for each in heads]
        return distance + torch.stack(divergences).mean()

    return objective


def rehearse(learn: Objective, recall: Objective) -> Objective:
    """`learn` on the judged lists and `recall` on the others, each weighted by its part of the batch.

    With an imitation of the untouched backbone as `recall`, training keeps what the backbone knew of unjudged texts
    (Learning without Forgetting: Li and Hoiem, arXiv 1606.09282).
    """

    def objective(lists: Sequence[CandidateList]) -> Tensor:
        judged = [each for each in lists if each.is_judged]
        others = [each for each in lists if not each.is_judged]
        parts = [(learn, judged), (recall, others)]
        return torch.stack([part(some) * (len(some) / len(lists)) for part, some in parts if some]).sum()

    return objective


def _match_all(model: CrossEncoder, members_LD: Tensor, candidates_UD: Tensor) -> Tensor:
    """Logits f32[L, U, H] of every member with every candidate."""
    return model.match(members_LD.unsqueeze(1), candidates_UD.unsqueeze(0))


def embed_lists(model: CrossEncoder, encoder: TextEncoder, lists: Sequence[CandidateList]) -> tuple[Tensor, Tensor]:
    """Members f32[L, D] and distinct candidates f32[U, D], in the order of `distinct_candidates`."""
    members = [encoder.member(each.member) for each in lists]
    candidates = encoder.candidates(distinct_candidates(lists))
    return _embed(model, encoder, members), _embed(model, encoder, candidates)


def distinct_candidates(lists: Sequence[CandidateList]) -> list[str]:
    """Every candidate text once, so that a member's fitting candidate is never its negative through another list."""
    return list(dict.fromkeys(text for each in lists for text in each.candidates))


def batch_gains(lists: Sequence[CandidateList], head: str) -> tuple[Tensor, Tensor]:
    """Gains f32[L, U], 0 where no list of the member judged the candidate; and bool[L, U], judged in its own list.

    Lists of one member share their gains: what fits in one of them is not a negative in another.
    """
    column = {text: index for index, text in enumerate(distinct_candidates(lists))}
    gains = np.zeros((len(lists), len(column)), dtype=np.float32)
    is_own = np.zeros(gains.shape, dtype=bool)
    members = np.array([each.member for each in lists])
    for row, each in enumerate(lists):
        of_member = members == each.member
        for text, gain in zip(each.candidates, each.labels[head], strict=True):
            if not np.isnan(gain):
                gains[of_member, column[text]] = max(gains[row, column[text]], gain)
                is_own[row, column[text]] = True
    return torch.from_numpy(gains), torch.from_numpy(is_own)


def _embed(model: CrossEncoder, encoder: TextEncoder, sides: Sequence[TokenIds]) -> Tensor:
    """f32[len(sides), D], in order."""
    device = model.device

    def run(batch: list[TokenIds]) -> Tensor:
        with autocast(device):
            return model.embed(**to_tensors(encoder.collate_sides(batch), device, multiple=MULTIPLE))

    return torch.stack(in_length_order(sides, run))
