"""A small model of attractiveness: a head on fixed text embeddings, which trains in seconds.

L lists, C candidates of the longest, D width, R rank, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.data.lists import CandidateList
from training.nets.cross_encoder import SCALE
from training.objectives.pairwise import ListLoss, label_lists
from training.trainer.distributed import Objective

Embeddings = dict[str, np.ndarray]
"""A normalised vector f32[D] for each text."""


class FrozenMatch(nn.Module):
    """Frozen embeddings u of the member and v of the candidate, matched.

        logit_h = SCALE * (sum_d weight_hd * u_d * v_d + (A_h u) . (B_h v)) + level_h . v + bias_h

    The weighted cosine, which it starts as; a low-rank map between the sides; and what attracts every member.
    """

    def __init__(self, width: int, num_heads: int, rank: int = 8) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_heads, width))
        self.of_member = nn.Parameter(torch.randn(num_heads, rank, width) / width**0.5)
        self.of_candidate = nn.Parameter(torch.zeros(num_heads, rank, width))
        self.level = nn.Parameter(torch.zeros(num_heads, width))
        self.bias = nn.Parameter(torch.full((num_heads,), -SCALE / 2))

    def forward(self, members: Tensor, candidates: Tensor) -> Tensor:
        """Embeddings of members f32[L, D] and of their candidates f32[L, C, D] -> logits f32[L, C, H]."""
        diagonal_LCH = functional.linear(members.unsqueeze(1) * candidates, self.weight)
        mapped_LHR = torch.einsum("ld,hrd->lhr", members, self.of_member)
        met_LCH = torch.einsum("lhr,hrd,lcd->lch", mapped_LHR, self.of_candidate, candidates)
        return SCALE * (diagonal_LCH + met_LCH) + functional.linear(candidates, self.level, self.bias)


def frozen_objective(model: FrozenMatch, embeddings: Embeddings, loss: ListLoss) -> Objective:
    """Score every member's own candidates and pass the logits to `loss`."""

    def objective(lists: Sequence[CandidateList]) -> Tensor:
        return loss(model(*_sides(embeddings, lists)), label_lists(lists, model.bias.device)).value()

    return objective


@torch.inference_mode()
def predict_frozen(model: FrozenMatch, embeddings: Embeddings, lists: Sequence[CandidateList]) -> np.ndarray:
    """Logits f32[pairs of all lists, H], in order."""
    found = [model(*_sides(embeddings, [each]))[0].numpy() for each in lists]
    return np.concatenate(found)


def _sides(embeddings: Embeddings, lists: Sequence[CandidateList]) -> tuple[Tensor, Tensor]:
    """Members [L, D] and candidates [L, C, D], padded with zeros."""
    members = np.stack([embeddings[each.member] for each in lists])
    candidates = np.zeros((len(lists), max(map(len, lists)), members.shape[1]), dtype=np.float32)
    for row, each in enumerate(lists):
        candidates[row, : len(each)] = [embeddings[text] for text in each.candidates]
    return torch.from_numpy(members), torch.from_numpy(candidates)
