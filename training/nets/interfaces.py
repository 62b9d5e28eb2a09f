"""What every model that reads pairs can do, small encoder or large decoder; teach, annotate and evaluate need no more.

N pairs, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from models.text import Inputs, Pair, TokenIds


class PairEncoder(Protocol):
    """Texts to token ids, and pairs of them to a model's inputs; `models.text.TextEncoder` is one."""

    def member(self, text: str) -> TokenIds:
        """Ids of a member's text as it stands in a pair, i32[tokens]."""

    def candidates(self, texts: Sequence[str]) -> list[TokenIds]:
        """Ids of candidates' texts as they stand in pairs, i32[tokens] each."""

    def collate(self, pairs: Sequence[Pair]) -> Inputs:
        """Inputs of the model by name, i64[N, ...], tokens last and padded on the right with zeros in the mask."""


class PairModel(Protocol):
    """A torch module that maps what its encoder collates to logits f32[N, H]."""

    @property
    def num_heads(self) -> int:
        """Outputs of a pair."""

    @property
    def device(self) -> torch.device:
        """Where its inputs must be."""

    def __call__(self, **inputs: Tensor) -> Tensor:
        """Logits f32[N, H]."""

    def eval(self) -> nn.Module:
        """No more training."""
