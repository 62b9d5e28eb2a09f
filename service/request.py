"""What a caller wants: one member, candidates, how to blend, by when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.batching.jobs import Priority
from service.encoding.tokenization import Item


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """One member and the candidates to score for it; the deadline in monotonic seconds, `behind_s` as in `Work`."""

    member: Item
    candidates: Sequence[Item]
    blend: Mapping[str, float] | None
    deadline: float
    priority: Priority
    behind_s: float = 0.0
