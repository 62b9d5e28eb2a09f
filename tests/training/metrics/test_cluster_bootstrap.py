"""Intervals over clusters and seeds, against cases whose answer is known."""

from __future__ import annotations

import numpy as np

from training.metrics.bootstrap import bootstrap
from training.metrics.cluster_bootstrap import clustered_interval
from training.metrics.measures import ratio

VALUES = np.random.default_rng(0).normal(0.6, 0.2, 120)
SUMS = np.stack([VALUES, np.ones(120)], axis=1)[None]
EACH_ITS_OWN = [f"l{number}" for number in range(120)]


def width(clusters: list[str], sums: np.ndarray = SUMS) -> float:
    found = clustered_interval([sums], clusters, ratio)
    return found.high - found.low


def test_with_one_list_a_cluster_it_is_the_ordinary_bootstrap() -> None:
    found, plain = clustered_interval([SUMS], EACH_ITS_OWN, ratio), bootstrap(VALUES)
    assert np.isclose(found.mean, VALUES.mean())
    assert abs(found.low - plain.low) < 0.005
    assert abs(found.high - plain.high) < 0.005


def test_copies_of_a_list_in_one_cluster_make_no_interval_narrower() -> None:
    copies = np.repeat(SUMS, 4, axis=1)
    clusters = [name for name in EACH_ITS_OWN for _ in range(4)]
    assert np.isclose(width(clusters, copies), width(EACH_ITS_OWN), rtol=0.1)
    # Without clusters, the same copies halve the interval: the fault that clusters mend.
    assert width([f"l{number}" for number in range(480)], copies) < 0.6 * width(EACH_ITS_OWN)


def test_seeds_that_differ_widen_the_interval() -> None:
    other = SUMS + np.array([0.2, 0.0])
    assert width(EACH_ITS_OWN, np.concatenate([SUMS, other])) > 1.3 * width(EACH_ITS_OWN, np.concatenate([SUMS, SUMS]))


def test_a_comparison_is_paired() -> None:
    found = clustered_interval([SUMS + np.array([0.01, 0.0]), SUMS], EACH_ITS_OWN, lambda a, b: ratio(a) - ratio(b))
    assert np.isclose(found.mean, 0.01)
    assert found.high - found.low < 1e-9


def test_without_lists_the_figure_is_undefined() -> None:
    assert np.isnan(clustered_interval([np.zeros((1, 0, 2))], [], ratio).mean)
