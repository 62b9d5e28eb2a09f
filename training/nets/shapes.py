"""Sizes of networks, as values in recipes: the split student's shape and LoRA's rank. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pooling = Literal["means", "firsts", "queries", "items"]
"""How tokens become slots: the mean of each of equal runs, its first token, a learnt query that starts at its run; or
the mean of each list item and clause.
"""


@dataclass(frozen=True)
class SplitShape:
    """How a candidate is compressed, and how it interacts with a member.

    A candidate has `pooled` slots beside its embedding, made from its tokens by `pooling` (0: a dot product of
    embeddings). In `joint_layers` layers the slots attend to the member; each has `feed_forward` units (None: as many
    as the backbone).
    """

    pooled: int
    joint_layers: int
    feed_forward: int | None = None
    pooling: Pooling = "means"
    width: int | None = None
    """Numbers of a slot; items only, whose state is int8. the others are as wide as the backbone."""

    @property
    def depth(self) -> int:
        """How many of the encoder's last layers are above the states that slots are made from.

        At least 1, so that shapes without joint layers share cached encodings with shapes of one. Items are made from
        the last states.
        """
        if self.pooling == "items":
            return 0
        return max(1, self.joint_layers)

    def __post_init__(self) -> None:
        if (self.pooled == 0) != (self.joint_layers == 0):
            raise ValueError("pooled slots and joint layers go together: both or neither must be 0")
        if (self.pooling == "items") != (self.width is not None):
            raise ValueError("slots of items, and no others, have a width of their own")


@dataclass(frozen=True)
class Lora:
    """Capacity of LoRA's update of each linear layer: `rank`, scaled by `alpha` / `rank`."""

    rank: int
    alpha: int
