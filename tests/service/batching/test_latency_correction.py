"""The latency correction: it follows changes soon, forgets soon, and ignores a single outlier."""

import pytest

from service.batching.latency_correction import MAX_AGE_S, MIN_MEASUREMENTS, WINDOW, LatencyCorrection


def corrected(*ratios: float, now: float = 0.0) -> LatencyCorrection:
    correction = LatencyCorrection()
    for ratio in ratios:
        correction.note(now, predicted=0.02, measured=0.02 * ratio)
    return correction


def test_without_measurements_the_default_factor_counts() -> None:
    assert LatencyCorrection().factor(0.0) == 1.0
    assert LatencyCorrection(0.25).factor(0.0) == 0.25


def test_a_lasting_change_shows_after_half_a_window() -> None:
    correction = corrected(*[1.0] * WINDOW)
    for _ in range(WINDOW // 2 + 1):
        correction.note(0.0, predicted=0.02, measured=0.06)
    assert correction.factor(0.0) == pytest.approx(3.0)
    for _ in range(WINDOW // 2 + 1):
        correction.note(0.0, predicted=0.02, measured=0.02)
    assert correction.factor(0.0) == pytest.approx(1.0)


@pytest.mark.parametrize("before", range(WINDOW + 1))
def test_one_outlier_never_changes_the_factor(before: int) -> None:
    correction = corrected(*[2.0] * before, 1e6)
    assert correction.factor(0.0) <= 2.0
    for _ in range(WINDOW):
        correction.note(0.0, predicted=0.02, measured=0.04)
        assert correction.factor(0.0) <= 2.0


def test_a_mean_would_fail_that() -> None:
    """The negative control: why it is a median."""
    assert sum([2.0] * WINDOW + [1e6]) / (WINDOW + 1) > 2.0


def test_old_measurements_are_forgotten_without_new_ones() -> None:
    correction = corrected(*[9.0] * WINDOW, now=100.0)
    assert correction.factor(100.0 + MAX_AGE_S) == pytest.approx(9.0)
    assert correction.factor(100.1 + MAX_AGE_S) == 1.0


def test_two_agreeing_measurements_are_enough() -> None:
    assert MIN_MEASUREMENTS == 3
    assert corrected(5.0).factor(0.0) == 1.0
    assert corrected(5.0, 5.0).factor(0.0) == pytest.approx(5.0)


def test_a_prediction_of_zero_is_ignored() -> None:
    correction = LatencyCorrection()
    for _ in range(WINDOW):
        correction.note(0.0, predicted=0.0, measured=1.0)
    assert correction.factor(0.0) == 1.0
