"""How grades agree, question by question and grade by grade: what one system states where another has a grade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.data.held_out import HeldOutSet
from training.evaluation.decision.scoring import Scored
from training.policy.policy import OVERALL

GRADES = 5


@dataclass(frozen=True)
class Agreement:
    """`counts[g][s]`: pairs that `judge` grades g and `system` states as s, rounded; `stated` are means by g, or None.

    A pair counts where both have a grade.
    """

    set: str
    judge: str
    system: str
    question: str
    counts: tuple[tuple[int, ...], ...]
    stated: tuple[float | None, ...]

    @property
    def pairs(self) -> int:
        return sum(map(sum, self.counts))

    @property
    def far(self) -> float:
        """The share of pairs that are two grades or more apart."""
        apart = sum(n for g, row in enumerate(self.counts) for s, n in enumerate(row) if abs(g - s) > 1)
        return apart / max(self.pairs, 1)


def agreements(held_out: HeldOutSet, student: Scored | None, teacher: Scored | None) -> list[Agreement]:
    """Student and teacher with the set's grades, for every question; then the student with the teacher, overall."""
    found: list[Agreement | None] = []
    if not held_out.graded_dimensions:
        return []
    for one in (each for each in (student, teacher) if each and each.is_calibrated):
        for question in (OVERALL, *held_out.graded_dimensions):
            found.append(_agreement(held_out, "grades", _gains(held_out, question), one, question))
    if student and teacher and student.is_calibrated and teacher.is_calibrated:
        found.append(_agreement(held_out, teacher.name, _means(held_out, teacher, OVERALL), student, OVERALL))
    return [each for each in found if each]


def _agreement(held_out: HeldOutSet, judge: str, gains: np.ndarray, scored: Scored, question: str) -> Agreement | None:
    stated = _means(held_out, scored, question)
    known = ~np.isnan(gains) & ~np.isnan(stated)
    if not known.any():
        return None
    top = GRADES - 1
    grades, rounded = (np.rint(top * each[known]).astype(int) for each in (gains, stated))
    counts = np.zeros((GRADES, GRADES), dtype=int)
    np.add.at(counts, (grades, rounded), 1)
    means = [float(top * stated[known][grades == g].mean()) if (grades == g).any() else None for g in range(GRADES)]
    return Agreement(held_out.name, judge, scored.name, question, tuple(map(tuple, counts.tolist())), tuple(means))


def _gains(held_out: HeldOutSet, question: str) -> np.ndarray:
    """Gains of all pairs f64[pairs], NaN where there is none."""
    found: list[Sequence[float | None]] = []
    for each in held_out.lists:
        found.append(each.list.labels.get(question) or [None] * len(each.list.candidates))
    return np.array([gain for gains in found for gain in gains], dtype=np.float64)


def _means(held_out: HeldOutSet, scored: Scored, question: str) -> np.ndarray:
    """Stated gains of all pairs f64[pairs], the mean over seeds."""
    if question not in scored.heads:
        return np.full(sum(len(each.list.candidates) for each in held_out.lists), np.nan)
    return np.concatenate([values.mean(axis=0) for values in scored.heads[question]])
