"""What a recipe says of a network, as values: the split student's shape and LoRA's size. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pooling = Literal["means", "firsts", "queries"]
"""Slots of runs of tokens: each run's mean; its first token; or what a trained query finds, which starts at its run."""


@dataclass(frozen=True)
class SplitShape:
    """How a candidate is compressed and how it meets a member.

    `pooled` slots a candidate beside its embedding (0: a dot product of embeddings), made of its tokens by `pooling`;
    `joint_layers` layers in which they read the member, each with a feed-forward part of `feed_forward` (None: the
    backbone's own width).
    """

    pooled: int
    joint_layers: int
    feed_forward: int | None = None
    pooling: Pooling = "means"

    @property
    def depth(self) -> int:
        """How many of the encoder's last layers are above the states that slots are made of.

        Without joint layers there is no slot, and cached readings may be shared.
        """
        return max(1, self.joint_layers)

    def __post_init__(self) -> None:
        if (self.pooled == 0) != (self.joint_layers == 0):
            raise ValueError("pooled slots and joint layers go together: both or neither must be 0")


@dataclass(frozen=True)
class Lora:
    """How much a decoder may learn: updates of `rank`, scaled by `alpha` / `rank`."""

    rank: int
    alpha: int
