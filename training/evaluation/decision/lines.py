"""Scores on a held-out set -> lines of the report: one figure each, with its interval and how much data it rests on.

S seeds | n candidates of a list | L lists | K sums of a measure
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.data.held_out import ALL, HeldOutSet
from training.evaluation.decision.scoring import Scored
from training.metrics.bootstrap import Interval
from training.metrics.cluster_bootstrap import Statistic, clustered_interval
from training.metrics.measures import KAPPA, Measure, measure_for
from training.policy.policy import OVERALL

KAPPA_OF = "kappa: "
GAP = "minus "
LEAD_SHARE = "share of the teacher's lead over the dot product"


@dataclass(frozen=True)
class Line:
    """One figure of one system on one part of a set. `by_seed` has the figure of each training."""

    set: str
    part: str
    system: str
    measure: str
    found: Interval
    lists: int
    clusters: int
    pairs: int
    by_seed: tuple[float, ...] = ()


@dataclass(frozen=True)
class Sums:
    """What each list adds to a measure: f64[S, L, K]; lists that do not count are False in `counts`."""

    measure: Measure
    sums: np.ndarray
    counts: np.ndarray
    pairs: int


@dataclass(frozen=True)
class View:
    """One part of a set and one head: which candidates count, and their gains."""

    held_out: HeldOutSet
    part: str
    head: str

    @property
    def clusters(self) -> list[str]:
        return [each.cluster for each in self.held_out.lists]

    def gains(self, row: int) -> np.ndarray:
        """Gains of a list's candidates, f64[n]; NaN for those without a gain or outside the part."""
        each = self.held_out.lists[row]
        labels = each.list.labels.get(self.head)
        if labels is None:
            return np.full(len(each.list.candidates), np.nan)
        gains = np.array([np.nan if gain is None else gain for gain in labels], dtype=np.float64)
        return gains if self.part == ALL else np.where(each.parts[self.part], gains, np.nan)


def sums_of(view: View, scored: Scored, name: str, *, head: str | None = None) -> Sums:
    """Sums of the measure `name` by list. A candidate counts where it has a gain and every seed gave it a score."""
    scores = scored.heads.get(head or view.head)
    rows = range(len(view.held_out.lists))
    kept: list[tuple[np.ndarray, np.ndarray] | None] = []
    for row in rows:
        gains = view.gains(row)
        found = np.full((scored.seeds, len(gains)), np.nan) if scores is None else scores[row]
        known = ~np.isnan(gains) & ~np.isnan(found).any(axis=0)
        kept.append((found[:, known], gains[known]) if known.any() else None)
    values = np.concatenate([each[0].ravel() for each in kept if each] or [np.zeros(0)])
    measure = KAPPA if name == "kappa" else measure_for(name, values)
    width = len(measure.sums(np.zeros(1), np.zeros(1)))
    sums = np.zeros((scored.seeds, len(kept), width))
    for row, each in enumerate(kept):
        if each:
            sums[:, row] = [measure.sums(one, each[1]) for one in each[0]]
    counts = np.abs(sums).sum(axis=(0, 2)) > 0
    return Sums(measure, sums, counts, sum(len(each[1]) for each in kept if each))


def line(view: View, scored: Scored, name: str, *, head: str | None = None) -> Line | None:
    """The figure of one system; None where nothing of the part has both a gain and a score."""
    found = sums_of(view, scored, name, head=head)
    rows = np.flatnonzero(found.counts)
    if not len(rows):
        return None
    clusters = [view.clusters[row] for row in rows]
    interval = clustered_interval([found.sums[:, rows]], clusters, found.measure.value)
    by_seed = tuple(float(found.measure.value(one[rows].sum(axis=0))) for one in found.sums)
    measure = name if view.head == OVERALL else f"{name}: {view.head}"
    return Line(
        view.held_out.name, view.part, scored.name, measure, interval, len(rows), len(set(clusters)), found.pairs,
        by_seed if scored.seeds > 1 else (),
    )  # fmt: skip


def difference(view: View, one: Scored, other: Scored, name: str) -> Line | None:
    """The figure of `one` minus that of `other`, over the lists that both have; paired by cluster."""
    return _compared(view, (one, other), name, f"{name}, {GAP}{other.name}", lambda a, b: a - b)


def share(view: View, one: Scored, other: Scored, name: str) -> Line | None:
    """The figure of `one` as a share of that of `other`."""
    return _compared(view, (one, other), name, f"{name}, share of {other.name}", lambda a, b: a / b)


@dataclass(frozen=True)
class Kept:
    """(student - dot) / (teacher - dot): the part of the teacher's lead over a dot product that a student keeps.

    `line` is None, and `why` says so, where the teacher's lead is not above zero: the ratio then means nothing.
    """

    lead: Line
    line: Line | None
    why: str


def kept_lead(view: View, student: Scored, teacher: Scored, dot: Scored, name: str) -> Kept | None:
    """None where the three have no list in common."""
    lead = difference(view, teacher, dot, name)
    if lead is None:
        return None
    if not lead.found.low > 0:
        why = f"undefined: the teacher's lead over the dot product is {lead.found:+.3f}, not above zero"
        return Kept(lead, None, why)
    label = f"{name}, {LEAD_SHARE}"
    kept = _compared(
        view, (student, teacher, dot), name, label, lambda s, t, d: (s - d) / np.where(t > d, t - d, np.nan)
    )
    return Kept(lead, kept, "")


def _compared(view: View, scored: Sequence[Scored], name: str, label: str, figure: Statistic) -> Line | None:
    found = [sums_of(view, each, name) for each in scored]
    rows = np.flatnonzero(np.logical_and.reduce([each.counts for each in found]))
    if not len(rows):
        return None
    clusters = [view.clusters[row] for row in rows]

    def statistic(*totals: np.ndarray) -> np.ndarray:
        return np.asarray(figure(*(each.measure.value(total) for each, total in zip(found, totals, strict=True))))

    interval = clustered_interval([each.sums[:, rows] for each in found], clusters, statistic)
    part, system = view.part, scored[0].name
    return Line(view.held_out.name, part, system, label, interval, len(rows), len(set(clusters)), found[0].pairs)


def set_lines(held_out: HeldOutSet, scored: Sequence[Scored]) -> list[Line]:
    """Every measure of every system on every part, then agreement by dimension."""
    lines = []
    for part in held_out.parts or (ALL,):
        for each in scored:
            view = View(held_out, part, OVERALL)
            names = list(held_out.measures)
            if each.is_calibrated and "brier skill" in names:
                names.append("ece")
            for name in names:
                probabilities = name in ("brier skill", "ece")
                found = line(view, each, name) if each.is_calibrated or not probabilities else None
                lines += [found] if found else []
    for each in scored:
        lines += kappa_lines(held_out, each) if each.is_calibrated else []
    return lines


def kappa_lines(held_out: HeldOutSet, scored: Scored) -> list[Line]:
    """Agreement with the set's grades: overall, and by dimension where the system answers."""
    if not held_out.graded_dimensions:
        return []
    found = []
    for head in (OVERALL, *held_out.graded_dimensions):
        one = line(View(held_out, ALL, head), scored, "kappa") if head in scored.heads else None
        found += [replace(one, measure=KAPPA_OF + head)] if one else []
    return found


def by_name(scored: Sequence[Scored]) -> Mapping[str, Scored]:
    return {each.name: each for each in scored}
