"""How long things take now: learnt soon, forgotten soon, and moved by no single measurement."""

import pytest

from service.batching.latency_correction import MAX_AGE_S, MIN_MEASUREMENTS, WINDOW, LatencyCorrection


def paced(*ratios: float, now: float = 0.0) -> LatencyCorrection:
    pace = LatencyCorrection()
    for ratio in ratios:
        pace.note(now, predicted=0.02, measured=0.02 * ratio)
    return pace


def test_nothing_measured_is_what_was_predicted() -> None:
    assert LatencyCorrection().factor(0.0) == 1.0
    assert LatencyCorrection(0.25).factor(0.0) == 0.25


def test_a_lasting_change_shows_after_half_of_what_is_looked_at() -> None:
    pace = paced(*[1.0] * WINDOW)
    for _ in range(WINDOW // 2 + 1):
        pace.note(0.0, predicted=0.02, measured=0.06)
    assert pace.factor(0.0) == pytest.approx(3.0)
    for _ in range(WINDOW // 2 + 1):
        pace.note(0.0, predicted=0.02, measured=0.02)
    assert pace.factor(0.0) == pytest.approx(1.0)


@pytest.mark.parametrize("before", range(WINDOW + 1))
def test_one_outlier_moves_nothing_whenever_it_comes(before: int) -> None:
    pace = paced(*[2.0] * before, 1e6)
    assert pace.factor(0.0) <= 2.0
    for _ in range(WINDOW):
        pace.note(0.0, predicted=0.02, measured=0.04)
        assert pace.factor(0.0) <= 2.0


def test_a_plain_mean_would_fail_that() -> None:
    """The negative control: what the median is for."""
    assert sum([2.0] * WINDOW + [1e6]) / (WINDOW + 1) > 2.0


def test_what_is_old_is_forgotten_though_nothing_new_comes() -> None:
    pace = paced(*[9.0] * WINDOW, now=100.0)
    assert pace.factor(100.0 + MAX_AGE_S) == pytest.approx(9.0)
    assert pace.factor(100.1 + MAX_AGE_S) == 1.0


def test_few_measurements_are_believed_once_two_agree() -> None:
    assert MIN_MEASUREMENTS == 3
    assert paced(5.0).factor(0.0) == 1.0
    assert paced(5.0, 5.0).factor(0.0) == pytest.approx(5.0)


def test_what_was_predicted_to_take_no_time_says_nothing() -> None:
    pace = LatencyCorrection()
    for _ in range(WINDOW):
        pace.note(0.0, predicted=0.0, measured=1.0)
    assert pace.factor(0.0) == 1.0
