"""Lists with two questions that ask for different candidates: what fits a member, and what everybody clicks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from training.data.lists import CandidateList
from training.data.soft_labels import SoftLabels

FITS = {"baker": "oven", "welder": "steel", "nurse": "ward"}
LIKED = "oven"
HEADS = ("relevance", "click")


def labelled(graded: Collection[str] = HEADS) -> list[CandidateList]:
    """Each member fits one candidate, and everybody clicks the same; labels as step `annotate` writes them, with gold
    of the heads that people graded.
    """
    found = []
    for index, (member, own) in enumerate([*FITS.items()] * 4):
        candidates = tuple(FITS.values())
        labels: dict[str, np.ndarray] = {}
        for head, wanted in zip(HEADS, (own, LIKED), strict=True):
            logits = np.array([3.0 if text == wanted else -3.0 for text in candidates])
            gold = (logits > 0) * 1.0 if head in graded else np.full(len(logits), np.nan)
            soft = SoftLabels.of_action(1 / (1 + np.exp(-logits)), logits)
            labels |= replace(soft, gold=gold).by_column(head)
        found.append(CandidateList(f"l{index}", "s", member, candidates, labels))
    return found
