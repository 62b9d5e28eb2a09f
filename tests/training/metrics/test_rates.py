"""Figures of rates, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics.rates import CERTAIN, pair_order_sums, rate_calibration_error, rate_reliability, rate_skill

SHARES, SHOWN = np.array([0.10, 0.05, 0.049]), np.array([1000.0, 1000.0, 1000.0])


def test_only_pairs_that_differ_by_more_than_chance_are_significant() -> None:
    """10 % and 5 % of 1,000: z = .05 / sqrt(2 * .075 * .925 / 1000) = 4.2; 5 % and 4.9 %: z = 0.1."""
    right = np.array([3.0, 2.0, 1.0])
    assert pair_order_sums(right, SHARES, SHOWN, 0.0).tolist() == [3.0, 3.0]
    assert pair_order_sums(right, SHARES, SHOWN, CERTAIN).tolist() == [2.0, 2.0]
    assert pair_order_sums(right[[0, 2, 1]], SHARES, SHOWN, 0.0).tolist() == [2.0, 3.0]
    assert pair_order_sums(right[[0, 2, 1]], SHARES, SHOWN, CERTAIN).tolist() == [2.0, 2.0]
    assert pair_order_sums(right, SHARES, SHOWN / 10, CERTAIN).tolist() == [0.0, 0.0]


def test_equal_scores_count_half_and_equal_rates_are_no_pair() -> None:
    assert pair_order_sums(np.zeros(3), SHARES, SHOWN, 0.0).tolist() == [1.5, 3.0]
    assert pair_order_sums(np.zeros(2), np.array([0.0, 0.0]), np.array([5.0, 9.0]), 0.0).tolist() == [0.0, 0.0]


def test_bins_hold_equal_numbers_of_times_shown() -> None:
    stated = np.array([0.01, 0.02, 0.03, 0.04])
    shown = np.array([300.0, 100.0, 100.0, 100.0])
    found = rate_reliability(stated, np.array([0.01, 0.02, 0.03, 0.06]), shown, bins=2)
    assert [(each.low, each.high, each.count) for each in found] == [(0.01, 0.01, 300), (0.02, 0.04, 300)]
    assert rate_calibration_error(found) == pytest.approx(0.5 * 0.02 / 3)


def test_the_base_rate_has_no_skill_and_the_rates_themselves_all_of_it() -> None:
    shares, shown = np.array([0.1, 0.3]), np.array([300.0, 100.0])
    assert rate_skill(np.full(2, 0.15), shares, shown) == pytest.approx(0.0)
    assert rate_skill(shares, shares, shown) == pytest.approx(1.0)
    assert np.isnan(rate_skill(shares, np.full(2, 0.1), shown))
