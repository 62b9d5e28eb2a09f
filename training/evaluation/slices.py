"""Held-out lists by what kind they are: where a mean hides a group that is served badly. Knows no model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.data.lists import CandidateList
from training.metrics.bootstrap import bootstrap

SENIOR = frozenset("senior sr lead head chief director manager principal executive supervisor".split())
JUNIOR = frozenset("junior jr intern trainee apprentice assistant entry graduate student".split())
FEWEST = 5
"""Slices of fewer lists are left out: their interval says nothing."""


def seniority(member: str) -> str:
    """What the first line of a member's text says of their level."""
    words = {word.strip(",.;:()/-").lower() for word in member.split("\n", 1)[0].split()}
    if words & SENIOR:
        return "senior"
    return "junior" if words & JUNIOR else "level not said"


def length_thirds(texts: Sequence[str]) -> list[str]:
    """`short`, `middle` or `long` by the thirds of these texts' own lengths."""
    lengths = np.array([len(text) for text in texts])
    low, high = np.quantile(lengths, [1 / 3, 2 / 3])
    return ["short" if length <= low else "middle" if length <= high else "long" for length in lengths]


def slice_figures(lists: Sequence[CandidateList], values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Mean and interval of each system's `values` f64[lists], for each slice of each kind that has several."""
    kinds = {
        "source": [each.source for each in lists],
        "seniority": [seniority(each.member) for each in lists],
        "length of the member's text": length_thirds([each.member for each in lists]),
        "length of the candidates' texts": length_thirds([" ".join(each.candidates) for each in lists]),
    }
    report: dict[str, Any] = {}
    for kind, names in kinds.items():
        rows = {name: np.array([each == name for each in names]) for name in sorted(set(names))}
        parts = {
            name: {
                "lists": int(chosen.sum()),
                "systems": {
                    system: dataclasses.asdict(bootstrap(figures[chosen])) for system, figures in values.items()
                },
            }
            for name, chosen in rows.items()
            if chosen.sum() >= FEWEST
        }
        if len(parts) > 1:
            report[kind] = parts
    return report
