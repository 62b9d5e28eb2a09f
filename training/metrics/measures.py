"""Measures of a system on a held-out set, as sums over lists: what a list adds, and the figure that totals give.

Everything that a report states has this form, so that one bootstrap serves all of it. Pure numpy.
Gains are grades / 4. Ranking gains are 2^grade - 1 (Burges et al., 2005). Among equal scores the smaller gain is first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.metrics.kappa import K, quadratic_kappa
from training.metrics.ranking import ndcg_at_10, ranked_gains

POOR = 0.25
"""A pair with this gain or less is a poor match: grade 0 must not be shown, grade 1 only where nothing is better."""
BINS = 10


@dataclass(frozen=True)
class Measure:
    """`sums` of one list's scores and gains (all judged, all scored); `value` of totals f64[..., K].

    `needs_probabilities`: it means something only for a system that states probabilities.
    """

    title: str
    sums: Callable[[np.ndarray, np.ndarray], np.ndarray]
    value: Callable[[np.ndarray], np.ndarray]
    needs_probabilities: bool = False
    less_is_better: bool = False


def ratio(totals: np.ndarray) -> np.ndarray:
    """The first total over the second; NaN where the second is 0."""
    first, second = totals[..., 0], totals[..., 1]
    return np.asarray(np.where(second > 0, first / np.where(second > 0, second, 1), np.nan))


def exponential(gains: np.ndarray) -> np.ndarray:
    """2^grade - 1 of gains, which are grades / 4."""
    return np.asarray(2.0 ** (gains * (K - 1)) - 1)


def ndcg_sums(scores: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """NDCG@10 and 1; a list whose gains are all equal has no order to judge and adds nothing."""
    if gains.min() == gains.max():
        return np.zeros(2)
    return np.array([ndcg_at_10(scores, exponential(gains)), 1.0])


def order_sums(scores: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Pairs in order (ties count half) and all pairs, of those where `above`[i, j]: i should rank above j."""
    difference = scores[:, None] - scores[None, :]
    right = (difference > 0) + 0.5 * (difference == 0)
    return np.array([right[above].sum(), float(above.sum())])


def _pairs_sums(scores: np.ndarray, gains: np.ndarray) -> np.ndarray:
    return order_sums(scores, gains[:, None] > gains[None, :])


def _top_sums(scores: np.ndarray, gains: np.ndarray) -> np.ndarray:
    return order_sums(scores, (gains[:, None] >= 1) & (gains[None, :] < 1))


def _any_sums(scores: np.ndarray, gains: np.ndarray) -> np.ndarray:
    return order_sums(scores, (gains[:, None] > 0) & (gains[None, :] <= 0))


def _poor_sums(scores: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Poor matches among the first ten; in doubt a poor match is shown first."""
    first = ranked_gains(scores, gains)[:10]
    return np.array([float((first <= POOR).sum()), float(len(first))])


def _brier_sums(stated: np.ndarray, gains: np.ndarray) -> np.ndarray:
    return np.array([((stated - gains) ** 2).sum(), len(gains), gains.sum(), (gains**2).sum()])


def brier_skill(totals: np.ndarray) -> np.ndarray:
    """1 - Brier score / that of stating the base rate (Brier, 1950; Murphy, 1973): 0 is the base rate, 1 perfect."""
    spread = totals[..., 3] - totals[..., 2] ** 2 / np.where(totals[..., 1] > 0, totals[..., 1], 1)
    skill = 1 - totals[..., 0] / np.where(spread > 0, spread, 1)
    return np.asarray(np.where(spread > 0, skill, np.nan))


MEASURES = {
    "ndcg@10": Measure("NDCG@10", ndcg_sums, ratio),
    "pairs in order": Measure("pairs in order", _pairs_sums, ratio),
    "auc top grade": Measure("AUC, top grade", _top_sums, ratio),
    "auc": Measure("AUC, any gain", _any_sums, ratio),
    "poor matches@10": Measure("poor matches @10", _poor_sums, ratio, less_is_better=True),
    "brier skill": Measure("Brier skill", _brier_sums, brier_skill, needs_probabilities=True),
}


def calibration_measure(stated: np.ndarray) -> Measure:
    """Expected calibration error over ten bins of equal mass, whose edges are those of all stated probabilities."""
    edges = np.quantile(stated, np.linspace(0, 1, BINS + 1)[1:-1]) if len(stated) else np.zeros(BINS - 1)

    def sums(one: np.ndarray, gains: np.ndarray) -> np.ndarray:
        gaps = np.bincount(np.searchsorted(edges, one), weights=one - gains, minlength=BINS)
        return np.append(gaps, len(gains))

    def value(totals: np.ndarray) -> np.ndarray:
        gaps = np.abs(totals[..., :BINS]).sum(axis=-1)
        return np.asarray(gaps / totals[..., BINS])

    return Measure("ECE", sums, value, needs_probabilities=True, less_is_better=True)


def grades_of(gains: np.ndarray) -> np.ndarray:
    """The grade nearest to each gain or expected gain in [0, 1]."""
    return np.asarray(np.rint(np.clip(gains, 0, 1) * (K - 1)), dtype=int)


def _kappa_sums(stated: np.ndarray, gains: np.ndarray) -> np.ndarray:
    counts = np.zeros((K, K))
    np.add.at(counts, (grades_of(stated), grades_of(gains)), 1)
    return counts.ravel()


KAPPA = Measure(
    "quadratic kappa",
    _kappa_sums,
    lambda totals: quadratic_kappa(totals.reshape(*totals.shape[:-1], K, K)),
    needs_probabilities=True,
)


HISTOGRAM = 256


def pooled_top_measure(scores: np.ndarray) -> Measure:
    """AUC of the top grade over the pairs of all lists together, for lists of one or two candidates.

    Scores fall into bins of equal mass, whose edges are those of all `scores`; within a bin, order counts half.
    """
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, HISTOGRAM + 1)[1:-1])) if len(scores) else np.zeros(0)
    bins = len(edges) + 1

    def sums(one: np.ndarray, gains: np.ndarray) -> np.ndarray:
        place = np.searchsorted(edges, one, side="right")
        is_top = gains >= 1
        counts = [np.bincount(place[which], minlength=bins) for which in (is_top, ~is_top)]
        return np.concatenate(counts).astype(np.float64)

    def value(totals: np.ndarray) -> np.ndarray:
        above, below = totals[..., :bins], totals[..., bins:]
        under = np.cumsum(below, axis=-1) - 0.5 * below
        pairs = above.sum(axis=-1) * below.sum(axis=-1)
        area = (above * under).sum(axis=-1) / np.where(pairs > 0, pairs, 1)
        return np.asarray(np.where(pairs > 0, area, np.nan))

    return Measure("pooled AUC, top grade", sums, value)


def measure_for(name: str, scores: np.ndarray) -> Measure:
    """The measure of this name; `scores` are all that it will see, for measures whose bins follow them."""
    if name == "ece":
        return calibration_measure(scores)
    if name == "pooled auc top grade":
        return pooled_top_measure(scores)
    return MEASURES[name]
