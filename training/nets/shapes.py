"""Sizes of networks, as values in recipes: the split student's shape and LoRA's rank. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pooling = Literal["means", "firsts", "queries"]
"""How runs of tokens become slots: each run's mean, its first token, or a learnt query that starts at its run."""


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

    @property
    def depth(self) -> int:
        """How many of the encoder's last layers are above the states that slots are made from.

        At least 1, so that shapes without joint layers share cached encodings with shapes of one.
        """
        return max(1, self.joint_layers)

    def __post_init__(self) -> None:
        if (self.pooled == 0) != (self.joint_layers == 0):
            raise ValueError("pooled slots and joint layers go together: both or neither must be 0")


@dataclass(frozen=True)
class Lora:
    """Capacity of LoRA's update of each linear layer: `rank`, scaled by `alpha` / `rank`."""

    rank: int
    alpha: int
