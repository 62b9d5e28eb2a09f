"""A step's lists in parts, one after another and by several processes, with the loss and gradients of the whole.

Knows counts and gradients, not what a term means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from training.data.lists import CandidateList
from training.trainer.distributed import Objective, ProcessGroup


@runtime_checkable
class PartObjective(Protocol):
    """An objective whose loss over a step's lists is the sum over parts of them.

    Its terms are means, and each divides by a count of its own: graded places, pairs, lists. So a part needs the counts
    of the whole step. An objective in which lists meet, as with in-batch negatives, is none.
    """

    def __call__(self, lists: Sequence[CandidateList], counts: Tensor | None = None) -> Tensor:
        """The loss of these lists; with the `counts` of a whole step, what they add to its loss."""

    def counts(self, lists: Sequence[CandidateList]) -> Tensor:
        """What each term divides by, f32[terms]; counts of parts add up."""


@dataclass(frozen=True)
class Parts:
    """Each of the `processes` reads an equal part of a step, `at_once` lists at a time (None: all).

    `prepared` is the objective as `ProcessGroup.prepare` returns it: its gradients are means over the processes.
    """

    objective: Objective
    prepared: Callable[..., Tensor]
    at_once: int | None
    processes: ProcessGroup

    def backward(self, lists: Sequence[CandidateList]) -> float:
        """Add the gradients of a step's loss to the model's; returns the loss."""
        own = self.processes.part(lists)
        size = self.at_once or len(own)
        parts = [own[start : start + size] for start in range(0, len(own), size)]
        counts = self._counts(parts)
        total = torch.zeros(())
        for part in parts:
            loss = self.prepared(part) if counts is None else self.prepared(part, counts) * self.processes.size
            if math.isfinite(loss.item()) or self.processes.size > 1:  # the other processes wait for its gradients
                loss.backward()
            total = total.to(loss.device) + loss.detach()
        return self.processes.mean(total)

    def _counts(self, parts: Sequence[Sequence[CandidateList]]) -> Tensor | None:
        """The counts of a whole step; None where it is read as a whole."""
        if len(parts) == 1 and self.processes.size == 1:
            return None
        if not isinstance(self.objective, PartObjective):
            raise TypeError("lists meet in this objective: one process must read a step at once")
        return self.processes.sum(torch.stack([self.objective.counts(part) for part in parts]).sum(0))
