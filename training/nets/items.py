"""Items of a text, in torch: the words between commas and sentence ends, found by token ids alone.

A list item, a clause or a sentence is one item, and an item is one slot: a requirement is not averaged with its
neighbours. Segmentation is integer arithmetic over token ids, so a graph does it without any text. Knows no texts.

N texts, T tokens, D width, P slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

MARKS = (".", ",", ";", "!", "?", "|", "•", "·", "\u2013", "\u2014")
"""Tokens that end an item, unless another of them follows."""
SPECIALS = ("[CLS]", "[SEP]", "[PAD]", "<s>", "</s>", "<pad>")


def separator_ids(token_id: Callable[[str], int | None]) -> tuple[int, ...]:
    """Ids of the tokens that belong to no item, by a tokenizer's own look-up."""
    return tuple(found for name in (*MARKS, *SPECIALS) if (found := token_id(name)) is not None)


@dataclass(frozen=True)
class Encoding:
    """Encoded texts: `vector` f32[N, D], normalised, and `states` f32[N, T, D] of its tokens.

    For students with items, `states` [N, T, 2 * D] are of two layers, the last one last, and `is_in` f32[N, P, T] says
    which slot each token's item is in.
    """

    vector: Tensor
    states: Tensor
    is_in: Tensor = field(default_factory=lambda: torch.empty(0))


def separators_in(tokenizer_json: str) -> tuple[int, ...]:
    """`separator_ids` of a tokenizer's file."""
    return separator_ids(Tokenizer.from_str(tokenizer_json).token_to_id)


class Items(nn.Module):
    """Divides texts into at most P items. Where a text has more, neighbours share a slot, evenly."""

    separators: Tensor

    def __init__(self, pooled: int, separators: Sequence[int]) -> None:
        super().__init__()
        self.pooled = pooled
        self.register_buffer("separators", torch.tensor(separators, dtype=torch.long))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token ids and mask i64[N, T] -> whether a token is in a slot: f32[N, P, T]. A separator is in none."""
        is_word_NT = (input_ids.unsqueeze(-1) != self.separators).all(-1) & (attention_mask == 1)
        before_NT = torch.cat([torch.zeros_like(is_word_NT[:, :1]), is_word_NT[:, :-1]], dim=1)
        number_NT = (is_word_NT & ~before_NT).long().cumsum(1)  # 1 in the first item
        count_N1 = number_NT[:, -1:].clamp_min(self.pooled)
        slot_NT = (number_NT - 1) * self.pooled // count_N1
        place_P1 = torch.arange(self.pooled, device=input_ids.device).unsqueeze(-1)
        return ((slot_NT.unsqueeze(1) == place_P1) & is_word_NT.unsqueeze(1)).float()


def item_means(states_NTD: Tensor, is_in_NPT: Tensor) -> Tensor:
    """Mean state of each slot's tokens: [N, P, D], zeros where a slot has none."""
    count_NP1 = is_in_NPT.sum(-1, keepdim=True).clamp_min(1)
    return (is_in_NPT / count_NP1).to(states_NTD.dtype) @ states_NTD


def of_tokens(means_NPD: Tensor, is_in_NPT: Tensor) -> Tensor:
    """The mean of each token's own item: [N, T, D], zeros for separators."""
    return is_in_NPT.transpose(1, 2).to(means_NPD.dtype) @ means_NPD
