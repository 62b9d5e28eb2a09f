"""Where a model breaks the policy worst: pairs whose probability is far from what people graded, with their texts.

For the run's own page only. Texts of sources that a recipe keeps untold are never among them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from training.data.lists import CandidateList


@dataclass(frozen=True)
class Break:
    """One pair, the gain that people gave it, and the probability that the model did."""

    source: str
    member: str
    candidate: str
    gain: float
    probability: float


def worst_breaks(
    lists: Sequence[CandidateList],
    head: str,
    probabilities: Sequence[np.ndarray],
    *,
    untold: Collection[str],
    count: int,
) -> tuple[list[Break], list[Break]]:
    """Pairs held too high and pairs held too low, the worst first, `count` each and one a list."""
    too_high: list[Break] = []
    too_low: list[Break] = []
    for each, found in zip(lists, probabilities, strict=True):
        gains = each.labels[head]
        if each.source in untold or np.isnan(gains).all():
            continue
        above = int(np.nanargmax(found - gains))
        below = int(np.nanargmin(found - gains))
        for worst, place in ((too_high, above), (too_low, below)):
            pair = Break(each.source, each.member, each.candidates[place], float(gains[place]), float(found[place]))
            worst.append(pair)
    too_high.sort(key=lambda each: each.gain - each.probability)
    too_low.sort(key=lambda each: each.probability - each.gain)
    return (
        [each for each in too_high[:count] if each.probability > each.gain],
        [each for each in too_low[:count] if each.probability < each.gain],
    )
