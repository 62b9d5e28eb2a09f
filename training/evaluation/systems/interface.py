"""What is measured: a system scores lists of a member and candidates, head by head. The report needs no more of it.

A teacher, a student, a judge or a baseline becomes a `System` by one function. Nothing here runs a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from training.data.lists import FieldList

Kind = Literal["baseline", "judge", "prompted", "live", "dot", "teacher", "student", "other"]
"""What a system is to the report. The student that ships is compared with `live`; `dot` is the best dot product that
was trained on the same data and budget.
"""
HeadScores = Mapping[str, np.ndarray]
"""f64[pairs of all lists], in order, by head: `overall` orders a list, and dimensions have the policy's names. With
`is_calibrated` each is an expected grade / 4 in [0, 1]. NaN: the system does not answer for this pair.
"""
Score = Callable[[Sequence[FieldList]], HeadScores]


@dataclass(frozen=True)
class Cost:
    """What a pair costs, where it is known: bytes kept for a candidate, tokens read, dollars for a million pairs."""

    bytes_per_candidate: int | None = None
    tokens_per_pair: float | None = None
    dollars_per_million_pairs: float | None = None


@dataclass(frozen=True)
class System:
    """Something that scores. Systems of one `name` and other `seed`s are trainings of one recipe.

    `identity` names weights and settings, so that scores can be kept; an empty one keeps none. `most_lists` limits the
    lists of a set that a slow system reads.
    """

    name: str
    kind: Kind
    score: Score
    seed: int = 0
    is_calibrated: bool = False
    identity: str = ""
    most_lists: int | None = None
    cost: Cost = field(default_factory=Cost)
