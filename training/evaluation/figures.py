"""Scores of systems on held-out lists -> the report's figures. Pure: knows neither models nor files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from models.heads import Calibration
from training.data.impressions import SHOWN
from training.data.lists import CandidateList, by_list
from training.evaluation.report import HeadReport, Quality, SourceReport
from training.evaluation.slices import slice_figures
from training.metrics import ranking
from training.metrics.bootstrap import Interval, bootstrap
from training.metrics.calibration import expected_calibration_error, reliability
from training.metrics.cluster_bootstrap import clustered_interval
from training.metrics.kappa import K, agreement
from training.metrics.measures import MEASURES, ratio
from training.metrics.rates import ORDERS, pair_order_sums, rate_calibration_error, rate_reliability, rate_skill

BRIER = MEASURES["brier skill"]
Scores = dict[str, list[np.ndarray]]
"""Of each system: a score per candidate, one array per list."""


def head_figures(
    head: str, lists: Sequence[CandidateList], scores: Scores, calibrations: Mapping[str, Calibration], shipped: str
) -> HeadReport:
    """Figures of one head: by source, and by slices of all judged lists.

    `calibrations` has the systems that state probabilities. `shipped` names the system that the others are compared to.
    """
    judged = [row for row, each in enumerate(lists) if np.nansum(each.labels[head]) > 0]
    sources = {}
    for source in sorted({lists[row].source for row in judged}):
        rows = [row for row, each in enumerate(lists) if each.source == source]
        chosen = {name: [values[row] for row in rows] for name, values in scores.items()}
        gains = [lists[row].labels[head] for row in rows]
        found = _source_figures(chosen, gains, calibrations, shipped)
        some = [lists[row] for row in rows]
        sources[source] = (
            with_rates(found, head, some, chosen, calibrations[shipped], shipped) if counted(some) else found
        )
    gains = [lists[row].labels[head] for row in judged]
    values = {
        name: ranking.evaluate_lists(ranking.ndcg_at_10, [scores[name][row] for row in judged], gains)
        for name in (shipped, "teacher")
        if name in scores
    }
    return HeadReport(sources, slice_figures([lists[row] for row in judged], values))


def counted(lists: Sequence[CandidateList]) -> bool:
    """Whether candidates were shown more than once: then actions are rates."""
    return any(bool((each.labels.get(SHOWN, np.ones(1)) > 1).any()) for each in lists)


def with_rates(
    report: SourceReport,
    head: str,
    lists: Sequence[CandidateList],
    scores: Scores,
    calibration: Calibration,
    shipped: str,
) -> SourceReport:
    """With figures of rates: the order of pairs of one list, and calibration by times shown."""
    shares, shown = (np.concatenate([each.labels[name] for each in lists]) for name in (head, SHOWN))
    known = ~np.isnan(shares)
    stated = calibration.apply(np.concatenate(scores[shipped]))[known]
    bins = rate_reliability(stated, shares[known], shown[known])
    systems = {name: dict(rows) for name, rows in report.systems.items()}
    pairs: dict[str, int] = {}
    for title, least in ORDERS.items():
        for name, rows in scores.items():
            sums = _pair_sums(head, lists, rows, least)
            systems[name][title] = clustered_interval([sums[None]], [each.member for each in lists], ratio)
            pairs[title] = int(max(pairs.get(title, 0), sums[:, 1].sum()))
    return replace(
        report,
        systems=systems,
        pairs=pairs,
        calibration_error=rate_calibration_error(bins),
        brier_skill=rate_skill(stated, shares[known], shown[known]),
        reliability=bins,
    )


def _pair_sums(head: str, lists: Sequence[CandidateList], scores: Sequence[np.ndarray], least: float) -> np.ndarray:
    """f64[lists, 2]: pairs in order, and all. A list that the system did not score adds nothing."""
    found = np.zeros((len(lists), 2))
    for row, (each, own) in enumerate(zip(lists, scores, strict=True)):
        if not np.isnan(own).any():
            found[row] = pair_order_sums(own, each.labels[head], each.labels[SHOWN], least)
    return found


def metric_by_list(metric: ranking.Metric, head: str, logits: np.ndarray, lists: Sequence[CandidateList]) -> np.ndarray:
    """The metric of each list by a head's gains, f64[lists], from logits f32[pairs of all lists]."""
    return ranking.evaluate_lists(metric, by_list(logits, lists), [each.labels[head] for each in lists])


def quality(lists: Sequence[CandidateList], head: str, logits: np.ndarray, reference: np.ndarray) -> dict[str, Quality]:
    """Ranking quality by source, from logits f32[pairs of all lists], compared with a reference's."""
    found, wanted = by_list(logits, lists), by_list(reference, lists)
    figures = {}
    for source in sorted({each.source for each in lists}):
        rows = [row for row, each in enumerate(lists) if each.source == source]
        gains = [lists[row].labels[head] for row in rows]
        ndcg, base = (
            ranking.evaluate_lists(ranking.ndcg_at_10, [scores[row] for row in rows], gains)
            for scores in (found, wanted)
        )
        same = np.array([found[row].argmax() == wanted[row].argmax() for row in rows], dtype=np.float64)
        figures[source] = Quality(len(rows), bootstrap(ndcg), bootstrap(ndcg - base), bootstrap(same))
    return figures


def _source_figures(
    scores: Scores, gains: list[np.ndarray], calibrations: Mapping[str, Calibration], shipped: str
) -> SourceReport:
    values = {
        name: {metric: ranking.evaluate_lists(function, each, gains) for metric, function in ranking.METRICS.items()}
        for name, each in scores.items()
    }
    systems = {name: {metric: bootstrap(row) for metric, row in rows.items()} for name, rows in values.items()}
    for name in systems.keys() & calibrations.keys():
        systems[name]["kappa"] = _kappa(calibrations[name], scores[name], gains)
    ndcg = {name: rows["ndcg@10"] for name, rows in values.items()}
    leads = {name: bootstrap(ndcg[shipped] - each) for name, each in ndcg.items() if name != shipped}
    targets = np.concatenate(gains)
    judged = ~np.isnan(targets)
    stated = calibrations[shipped].apply(np.concatenate(scores[shipped]))[judged]
    known = targets[judged]
    return SourceReport(
        lists=len(gains),
        read={name: int((~np.isnan(each)).sum()) for name, each in ndcg.items()},
        compared={name: int((~np.isnan(ndcg[shipped] - ndcg[name])).sum()) for name in leads},
        systems=systems,
        student_minus=leads,
        calibration_error=expected_calibration_error(stated, known),
        brier_skill=float(BRIER.value(BRIER.sums(stated, known))),
        reliability=reliability(stated, known),
    )


def _kappa(calibration: Calibration, scores: Sequence[np.ndarray], gains: Sequence[np.ndarray]) -> Interval:
    """Agreement of a system's grades with gold, measured as the judge's; the bootstrap resamples whole lists."""
    stated, golden = calibration.apply(np.concatenate(scores)), np.concatenate(gains)
    lists = np.repeat(np.arange(len(gains)), [len(each) for each in gains])
    known = ~np.isnan(golden) & ~np.isnan(stated)
    grades = (_grades(stated[known]), _grades(golden[known]))
    return agreement(*grades, [str(each) for each in lists[known]]).kappa


def _grades(gains: np.ndarray) -> list[int]:
    """The policy's grade nearest to each gain or probability in [0, 1]."""
    return [int(grade) for grade in np.rint(gains * (K - 1))]
