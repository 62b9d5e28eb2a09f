"""A model's worst errors: pairs whose probability is far from the human grade, with their texts.

For the run's own page only. Sources whose texts a recipe keeps private are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from training.data.lists import CandidateList


@dataclass(frozen=True)
class PairError:
    """One pair, its human gain, and the model's probability."""

    source: str
    member: str
    candidate: str
    gain: float
    probability: float


@dataclass(frozen=True)
class WorstErrors:
    """Pairs scored too high and pairs scored too low, the worst first."""

    too_high: list[PairError]
    too_low: list[PairError]


def worst_errors(
    lists: Sequence[CandidateList],
    head: str,
    probabilities: Sequence[np.ndarray],
    *,
    private: Collection[str],
    count: int,
) -> WorstErrors:
    """At most `count` pairs in each direction, and one per list. Sources in `private` are left out."""
    too_high: list[PairError] = []
    too_low: list[PairError] = []
    for each, found in zip(lists, probabilities, strict=True):
        gains = each.labels[head]
        if each.source in private or np.isnan(gains).all():
            continue
        for errors, row in ((too_high, np.nanargmax(found - gains)), (too_low, np.nanargmin(found - gains))):
            pair = (each.source, each.member, each.candidates[row])
            errors.append(PairError(*pair, float(gains[row]), float(found[row])))
    too_high.sort(key=lambda each: each.gain - each.probability)
    too_low.sort(key=lambda each: each.probability - each.gain)
    return WorstErrors(
        [each for each in too_high[:count] if each.probability > each.gain],
        [each for each in too_low[:count] if each.probability < each.gain],
    )
