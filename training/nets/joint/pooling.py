"""Pooling of a candidate's tokens into a few slots, in torch: one slot for each of P equal runs of tokens.

N texts, T tokens, D width, P pooled slots.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.nets.cross_encoder import NEVER
from training.nets.shapes import Pooling

OUTSIDE = -4.0
"""Initial logit outside a query's run: a token there weighs e^-4 of one inside."""


def new_pooling(kind: Pooling, pooled: int, width: int) -> nn.Module:
    """A module from states [N, T, D] and their mask i64[N, T] to slots [N, P, D]."""
    if kind == "queries":
        return LearntQueries(pooled, width)
    return {"means": RunMeans, "firsts": RunFirsts}[kind](pooled)


class RunMeans(nn.Module):
    """The mean of each run. In a text of fewer tokens than P, an empty run has the mean of all tokens."""

    def __init__(self, pooled: int) -> None:
        super().__init__()
        self.pooled = pooled

    def forward(self, states_NTD: Tensor, mask_NT: Tensor) -> Tensor:
        """States [N, T, D] and their mask i64[N, T] to slots [N, P, D]."""
        return self.weights(mask_NT).to(states_NTD.dtype) @ states_NTD

    def weights(self, mask_NT: Tensor) -> Tensor:
        """Weight of each token in each slot: f32[N, P, T]."""
        is_in_NPT = _runs(mask_NT, self.pooled)
        is_empty_NP1 = ~is_in_NPT.any(-1, keepdim=True)
        is_read_NPT = (is_in_NPT | is_empty_NP1 & mask_NT.bool().unsqueeze(1)).float()
        return is_read_NPT / is_read_NPT.sum(-1, keepdim=True)


class RunFirsts(RunMeans):
    """The first token of each run; an empty run has that of the next run, or the last token."""

    def weights(self, mask_NT: Tensor) -> Tensor:
        """Weight of each token in each slot: f32[N, P, T], a single 1 per slot."""
        length_N1 = mask_NT.sum(1, keepdim=True)
        run_P = torch.arange(self.pooled, device=mask_NT.device)
        first_NP = torch.minimum((run_P * length_N1 + self.pooled - 1) // self.pooled, length_N1 - 1)
        return (torch.arange(mask_NT.shape[1], device=mask_NT.device) == first_NP.unsqueeze(-1)).float()


class LearntQueries(nn.Module):
    """Attention of P learnt queries over the tokens. A scalar per query sets how much it sees outside its run.

    Initially each is nearly the mean of its run.
    """

    def __init__(self, pooled: int, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(pooled, width))
        self.outside = nn.Parameter(torch.full((pooled, 1), OUTSIDE))

    def forward(self, states_NTD: Tensor, mask_NT: Tensor) -> Tensor:
        """States [N, T, D] and their mask i64[N, T] to slots [N, P, D]."""
        pooled, width = self.query.shape
        is_out_NPT = 1 - _runs(mask_NT, pooled).to(states_NTD.dtype)
        logits_NPT = (self.query * width**-0.5) @ states_NTD.transpose(1, 2) + self.outside * is_out_NPT
        never_N1T = ((1 - mask_NT.to(states_NTD.dtype)) * NEVER).unsqueeze(1)
        return torch.softmax(logits_NPT + never_N1T, dim=-1) @ states_NTD


def _runs(mask_NT: Tensor, pooled: int) -> Tensor:
    """Tokens of each of P equal runs of a text: bool[N, P, T]. A text of fewer tokens has empty runs."""
    place_T = torch.arange(mask_NT.shape[1], device=mask_NT.device)
    run_NT = place_T * pooled // mask_NT.sum(1, keepdim=True)
    is_in_NPT = run_NT.unsqueeze(1) == torch.arange(pooled, device=mask_NT.device)[:, None]
    return is_in_NPT & mask_NT.bool().unsqueeze(1)
