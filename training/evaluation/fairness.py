"""Fairness of a scorer, by paired swaps: the same member told with another name, gender or age scores the same jobs.

Held-out data says nothing of who people are, and it should not. So a cue of a group is put in front of each member's
text, as in audit studies with made-up applications (Bertrand and Mullainathan, AER 2004, whose names these are): groups
are then alike in all but the cue, and what differs is the scorer's doing. This file asks a scorer; it knows no model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training.data.lists import CandidateList, by_list
from training.metrics.bootstrap import bootstrap

Score = Callable[[Sequence[CandidateList]], np.ndarray]
"""Lists to probabilities f64[pairs of all lists], in order."""
FOUR_FIFTHS = 0.8
"""Least ratio of two groups' rates before a difference counts as adverse impact (29 CFR 1607.4 D)."""


@dataclass(frozen=True)
class Swap:
    """Cues of two or more groups that a scorer should not tell apart; the cues of a group take turns over lists."""

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


def audit(lists: Sequence[CandidateList], score: Score, swaps: Sequence[Swap] = SWAPS, top: int = 3) -> dict[str, Any]:
    """Impact ratios and score differences of each swap's groups.

    `selected` is the share of candidates that rank in the first `top` of a list for any group and do for this one;
    `scoring_rate` the share of scores above the median of all, the rule of New York City's Local Law 144 for continuous
    scores (6 RCNY 5-301). Each is divided by the highest group's.
    """
    return {swap.name: _audit_swap(lists, score, swap, top) for swap in swaps}


def told(lists: Sequence[CandidateList], cues: Sequence[str]) -> list[CandidateList]:
    """The lists with a cue in front of each member's text, in turns."""
    return [replace(each, member=f"{cues[index % len(cues)]}. {each.member}") for index, each in enumerate(lists)]


def impact_ratios(rates: Mapping[str, float]) -> dict[str, float]:
    """Each group's rate over the highest group's; 1 for all when nobody has any."""
    highest = max(rates.values())
    return {group: rate / highest if highest > 0 else 1.0 for group, rate in rates.items()}


def _audit_swap(lists: Sequence[CandidateList], score: Score, swap: Swap, top: int) -> dict[str, Any]:
    scores = {group: by_list(score(told(lists, cues)), lists) for group, cues in swap.cues.items()}
    median = float(np.median(np.concatenate([each for found in scores.values() for each in found])))
    picked = {group: [_first(each, top) for each in found] for group, found in scores.items()}
    wanted = [np.logical_or.reduce(sets) for sets in zip(*picked.values(), strict=True)]
    rates = {group: float((np.concatenate(found) > median).mean()) for group, found in scores.items()}
    chosen = {group: float(np.concatenate(sets).sum() / np.concatenate(wanted).sum()) for group, sets in picked.items()}
    base = next(iter(scores))
    groups: dict[str, dict[str, Any]] = {
        group: {
            "scoring_rate": rates[group],
            "scoring_ratio": impact_ratios(rates)[group],
            "selected": chosen[group],
            "selection_ratio": impact_ratios(chosen)[group],
            "difference": dataclasses.asdict(bootstrap(_differences(found, scores[base]))),
            "other_first_choice": float(
                np.mean([a.argmax() != b.argmax() for a, b in zip(found, scores[base], strict=True)])
            ),
        }
        for group, found in scores.items()
    }
    lowest = min(min(row["scoring_ratio"], row["selection_ratio"]) for row in groups.values())
    return {"compared_with": base, "groups": groups, "lowest_ratio": lowest, "passes": lowest >= FOUR_FIFTHS}


def _first(scores: np.ndarray, top: int) -> np.ndarray:
    """Whether each candidate is among the first `top`; equal scores in the order of the list."""
    is_first = np.zeros(len(scores), dtype=bool)
    is_first[np.argsort(-scores, kind="stable")[:top]] = True
    return is_first


def _differences(found: Sequence[np.ndarray], base: Sequence[np.ndarray]) -> np.ndarray:
    """Mean difference of probability in each list, f64[lists]."""
    return np.array([(a - b).mean() for a, b in zip(found, base, strict=True)])
