"""Sizes of networks, as values in recipes: the split student's shape and LoRA's rank. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SplitShape:
    """What is kept of a candidate, and so how it meets a member.

    Beside its embedding it has `slots` of its list items and clauses, each of `width` numbers, and pools of its tokens.
    Without slots it has the embedding alone, and the student is a dot product.
    """

    slots: int = 0
    width: int = 0

    def __post_init__(self) -> None:
        if (self.slots == 0) != (self.width == 0):
            raise ValueError("slots have a width: both or neither must be 0")

    @property
    def has_items(self) -> bool:
        return self.slots > 0


DOT = SplitShape()


@dataclass(frozen=True)
class Lora:
    """Capacity of LoRA's update of each linear layer: `rank`, scaled by `alpha` / `rank`."""

    rank: int
    alpha: int
