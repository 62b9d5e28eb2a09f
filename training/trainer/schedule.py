"""How long and how fast a model trains. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. Steps are optimizer steps of `lists_per_step` lists each.

    `learning_rate` is the pretrained backbone's; new parameters start untrained and use `added_learning_rate`.
    """

    steps: int
    lists_per_step: int
    learning_rate: float
    added_learning_rate: float = 1e-2
    warmup_share: float = 0.06
    decay_share: float = 1.0
    """The last part of the steps after warm-up, over which the rates fall to zero; before it they are constant."""
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0
    checkpoint_every: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Phases:
    """Two phases: first both sides apart, every member against the batch's candidates; then in pairs."""

    sides: Schedule
    pairs: Schedule
