"""Fairness audit by paired swaps: the same member with another name, gender or age scores the same candidates.

Held-out data has no demographics, and should not have any. So a cue of a group is put in front of each member's text,
as in correspondence studies (Bertrand and Mullainathan, AER 2004, whose names these are). Groups then differ in the
cue only, and any difference in scores comes from the scorer. This file calls a scorer; it knows no model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.data.lists import CandidateList, by_list
from training.evaluation.report import GroupReport, SwapReport
from training.metrics.bootstrap import bootstrap

Score = Callable[[Sequence[CandidateList]], np.ndarray]
"""Lists to probabilities f64[pairs of all lists], in order."""
FOUR_FIFTHS = 0.8
"""Least ratio of two groups' rates before a difference counts as adverse impact (29 CFR 1607.4 D)."""


@dataclass(frozen=True)
class Swap:
    """Cues of two or more groups that a scorer should treat alike. The cues of a group alternate over lists."""

    name: str
    cues: Mapping[str, tuple[str, ...]]


SWAPS = (
    Swap(
        "names",
        {
            "white women": ("Emily Walsh", "Anne Baker", "Allison Murphy"),
            "white men": ("Greg Walsh", "Brad Baker", "Todd Murphy"),
            "Black women": ("Lakisha Washington", "Tamika Jackson", "Latoya Robinson"),
            "Black men": ("Jamal Washington", "Darnell Jackson", "Leroy Robinson"),
        },
    ),
    Swap("gender", {"she": ("she/her", "a woman"), "he": ("he/him", "a man"), "they": ("they/them", "a person")}),
    Swap(
        "age",
        {
            "about 25": ("25 years old", "graduated in 2022"),
            "about 45": ("45 years old", "graduated in 2002"),
            "about 60": ("60 years old", "graduated in 1987"),
        },
    ),
)


def audit(
    lists: Sequence[CandidateList], score: Score, swaps: Sequence[Swap] = SWAPS, top: int = 3
) -> dict[str, SwapReport]:
    """Impact ratios and score differences of each swap's groups, by swap.

    `selected`: of the candidates in the first `top` of a list for any group, the share that is there for this one.
    `scoring_rate`: the share of scores above the median of all, the rule of New York City's Local Law 144 for
    continuous scores (6 RCNY 5-301). Ratios are to the highest group's rate.
    """
    return {swap.name: _audit_swap(lists, score, swap, top) for swap in swaps}


def with_cues(lists: Sequence[CandidateList], cues: Sequence[str]) -> list[CandidateList]:
    """The lists with a cue in front of each member's text; cues alternate."""
    return [replace(each, member=f"{cues[index % len(cues)]}. {each.member}") for index, each in enumerate(lists)]


def impact_ratios(rates: Mapping[str, float]) -> dict[str, float]:
    """Each group's rate over the highest group's; 1 for all if every rate is 0."""
    highest = max(rates.values())
    return {group: rate / highest if highest > 0 else 1.0 for group, rate in rates.items()}


def _audit_swap(lists: Sequence[CandidateList], score: Score, swap: Swap, top: int) -> SwapReport:
    scores = {group: by_list(score(with_cues(lists, cues)), lists) for group, cues in swap.cues.items()}
    median = float(np.median(np.concatenate([each for found in scores.values() for each in found])))
    picked = {group: [_in_first(each, top) for each in found] for group, found in scores.items()}
    eligible = np.concatenate([np.logical_or.reduce(sets) for sets in zip(*picked.values(), strict=True)]).sum()
    rates = {group: float((np.concatenate(found) > median).mean()) for group, found in scores.items()}
    selected = {group: float(np.concatenate(sets).sum() / eligible) for group, sets in picked.items()}
    scoring_ratios, selection_ratios = impact_ratios(rates), impact_ratios(selected)
    first = next(iter(scores))
    groups = {}
    for group, found in scores.items():
        pairs = list(zip(found, scores[first], strict=True))
        groups[group] = GroupReport(
            scoring_rate=rates[group],
            scoring_ratio=scoring_ratios[group],
            selected=selected[group],
            selection_ratio=selection_ratios[group],
            difference=bootstrap(np.array([(a - b).mean() for a, b in pairs])),
            other_first_choice=float(np.mean([a.argmax() != b.argmax() for a, b in pairs])),
        )
    lowest = min(*scoring_ratios.values(), *selection_ratios.values())
    return SwapReport(first, groups, lowest, passes=lowest >= FOUR_FIFTHS)


def _in_first(scores: np.ndarray, top: int) -> np.ndarray:
    """Whether each candidate is among the first `top`; equal scores rank in the order of the list."""
    is_first = np.zeros(len(scores), dtype=bool)
    is_first[np.argsort(-scores, kind="stable")[:top]] = True
    return is_first
