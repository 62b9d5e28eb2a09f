"""Held-out lists by kind, to show groups that a mean hides. Knows no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training.data.lists import CandidateList
from training.evaluation.report import SliceReport
from training.metrics.bootstrap import bootstrap

SENIOR = frozenset("senior sr lead head chief director manager principal executive supervisor".split())
JUNIOR = frozenset("junior jr intern trainee apprentice assistant entry graduate student".split())
FEWEST = 5
"""Smaller slices are left out: their interval is too wide to mean anything."""


def seniority(member: str) -> str:
    """The level that the first line of a member's text states."""
    words = {word.strip(",.;:()/-").lower() for word in member.split("\n", 1)[0].split()}
    if words & SENIOR:
        return "senior"
    return "junior" if words & JUNIOR else "level not said"


def length_thirds(texts: Sequence[str]) -> list[str]:
    """`short`, `middle` or `long`, by the terciles of these texts' lengths."""
    lengths = np.array([len(text) for text in texts])
    low, high = np.quantile(lengths, [1 / 3, 2 / 3])
    return ["short" if length <= low else "middle" if length <= high else "long" for length in lengths]


def slice_figures(
    lists: Sequence[CandidateList], values: Mapping[str, np.ndarray]
) -> dict[str, dict[str, SliceReport]]:
    """Mean and interval of each system's `values` f64[lists], by kind of slice and slice. Kinds of one slice are left
    out.
    """
    kinds = {
        "source": [each.source for each in lists],
        "seniority": [seniority(each.member) for each in lists],
        "length of the member's text": length_thirds([each.member for each in lists]),
        "length of the candidates' texts": length_thirds([" ".join(each.candidates) for each in lists]),
    }
    report = {}
    for kind, names in kinds.items():
        parts = {}
        for name in sorted(set(names)):
            chosen = np.array([each == name for each in names])
            if chosen.sum() >= FEWEST:
                systems = {system: bootstrap(figures[chosen]) for system, figures in values.items()}
                parts[name] = SliceReport(int(chosen.sum()), systems)
        if len(parts) > 1:
            report[kind] = parts
    return report
