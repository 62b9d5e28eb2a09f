"""Calibration finds a known truth and never changes an order."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.lists import CandidateList
from training.metrics.calibration import expected_calibration_error, fit_calibrations, fit_platt


def test_platt_scaling_recovers_a_known_slope_and_intercept() -> None:
    logits = np.linspace(-4, 4, 500)
    found = fit_platt(logits, 1 / (1 + np.exp(-(0.5 * logits - 1.0))))
    assert found.slope == pytest.approx(0.5, abs=1e-4)
    assert found.intercept == pytest.approx(-1.0, abs=1e-4)


def test_rarely_examined_pairs_are_calibrated_as_if_examined() -> None:
    logits = np.linspace(-4, 4, 500)
    examined = np.where(np.arange(500) % 2, 1.0, 0.2)
    acted = examined / (1 + np.exp(-(0.5 * logits - 1.0)))
    found = fit_platt(logits, acted, examined=examined)
    assert (found.slope, found.intercept) == pytest.approx((0.5, -1.0), abs=1e-3)
    naive = fit_platt(logits, acted)  # takes all for looked at
    assert naive.apply(np.array([4.0]))[0] < found.apply(np.array([4.0]))[0] - 0.15


def test_a_step_that_overshoots_does_not_oscillate_without_end() -> None:
    """Whole Newton steps, or steps limited to 2, cycle between two distant points on these targets."""
    logits = np.linspace(-4, 4, 500)
    targets = np.where(np.arange(500) % 2, 1.0, 0.2) / (1 + np.exp(-(0.5 * logits - 1.0)))
    stated = fit_platt(logits, targets).apply(logits)
    assert stated.mean() == pytest.approx(targets.mean(), abs=1e-4)
    assert (stated * logits).mean() == pytest.approx((targets * logits).mean(), abs=1e-3)


def test_an_inverted_model_keeps_its_order() -> None:
    logits = np.linspace(-4, 4, 100)
    assert fit_platt(logits, (logits < 0).astype(float)).slope > 0


def test_without_both_outcomes_nothing_is_fitted() -> None:
    assert fit_platt(np.array([1.0, 2.0]), np.array([0.0, 0.0])).slope == 1.0


def test_unjudged_pairs_do_not_count() -> None:
    lists = [CandidateList("a", "s", "m", ("x", "y", "z"), {"h": np.array([1.0, 0.0, np.nan])})]
    with_junk = fit_calibrations(["h"], np.array([[1.0], [-1.0], [1e6]]), lists)
    without = fit_calibrations(["h"], np.array([[1.0], [-1.0], [0.0]]), lists)
    assert with_junk == without


def test_calibration_error_of_a_constant_claim() -> None:
    assert expected_calibration_error(np.full(10, 0.75), np.array([1.0] * 5 + [0.0] * 5)) == pytest.approx(0.25)


def test_a_target_that_counts_often_is_as_many_rows() -> None:
    logits, targets = np.array([-1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0])
    found = fit_platt(np.append(logits, -1.0), np.append(targets, 1.0), times=np.array([5.0, 1.0, 2.0, 1.0]))
    rows = fit_platt(np.array([-1.0] * 5 + [0.0, 1.0, 1.0, -1.0]), np.array([0.0] * 5 + [1.0] * 4))
    assert (found.slope, found.intercept) == pytest.approx((rows.slope, rows.intercept), abs=1e-6)
