"""What every model of pairs offers, small encoder or language model. Training, annotation and evaluation need no more.

N pairs, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from models.text import Inputs, Pair, TextEncoder, TokenIds


class PairEncoder(Protocol):
    """Texts to token ids, and pairs of them to a model's inputs. `models.text.TextEncoder` is one."""

    def member(self, text: str) -> TokenIds:
        """Ids of a member's text as a pair has it, i32[tokens]."""

    def candidates(self, texts: Sequence[str]) -> list[TokenIds]:
        """Ids of candidates' texts as pairs have them, i32[tokens] each."""

    def collate(self, pairs: Sequence[Pair]) -> Inputs:
        """Model inputs by name, i64[N, ...]: tokens last, padded on the right with zeros in the mask."""


class PairModel(Protocol):
    """A torch module that maps what its pair encoder collates to logits f32[N, H]."""

    @property
    def num_heads(self) -> int:
        """Outputs of a pair."""

    @property
    def device(self) -> torch.device:
        """Where its inputs must be."""

    def pair_encoder(self, shared: TextEncoder) -> PairEncoder:
        """What tokenizes its pairs: its own encoder, or the recipe's `shared` one."""

    def __call__(self, **inputs: Tensor) -> Tensor:
        """Logits f32[N, H]."""

    def eval(self) -> nn.Module:
        """Switch to inference."""

    def to(self, device: torch.device | str) -> nn.Module:
        """Move to a device, in place."""
