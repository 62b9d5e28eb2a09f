"""Drift between two distributions of scores: the population stability index (PSI). Pure: counts in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Sequence

BINS = 100
"""Scores are counted in this many bins, and compared in few groups of bins, cut once the scores are known."""
GROUPS = 10
CHI_SQUARE = 27.88
"""The 99.9th percentile with GROUPS - 1 degrees of freedom: PSI / (1/N + 1/M) of equal models is rarely above."""


def noise(num_live: int, num_candidate: int) -> float:
    """The PSI that equal models rarely exceed by chance, by their numbers of scores."""
    return CHI_SQUARE * (1 / num_live + 1 / num_candidate)


def drift(live: Sequence[int], candidate: Sequence[int]) -> float:
    """PSI over groups of bins that each hold about a tenth of the live model's scores."""
    groups = even_groups(live, GROUPS)
    return psi([sum(live[a:b]) for a, b in groups], [sum(candidate[a:b]) for a, b in groups])


def even_groups(counts: Sequence[int], num_groups: int) -> list[tuple[int, int]]:
    """Cut bins into at most `num_groups` ranges [begin, end) with about equal counts; the last range takes the rest."""
    groups: list[tuple[int, int]] = []
    total, begin, held = sum(counts), 0, 0
    for place, count in enumerate(counts):
        held += count
        if held * num_groups >= total and len(groups) < num_groups - 1:
            groups.append((begin, place + 1))
            begin, held = place + 1, 0
    return [*groups, (begin, len(counts))] if begin < len(counts) else groups


def psi(expected: Sequence[int], found: Sequence[int]) -> float:
    """The population stability index: sum of (q - p) ln(q / p) over groups. An empty group counts as half a score."""
    index = 0.0
    for p, q in zip(_fractions(expected), _fractions(found), strict=True):
        index += (q - p) * math.log(q / p)
    return index


def _fractions(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [max(count, 0.5) / total for count in counts]
