"""The guardrails of a rollout, against numbers worked out by hand."""

import random
from collections.abc import Sequence

import pytest

from service.rollout.drift import BINS, drift, even_groups, psi
from service.rollout.guardrails import WindowStats, fault_of
from service.settings import RolloutSettings

USUAL = RolloutSettings()


def stats(requests: int, failed: int = 0, each_s: float = 0.01, scores: Sequence[float] = ()) -> WindowStats:
    made = WindowStats(requests, failed, requests * each_s)
    made.recent_s.extend([each_s] * requests)
    for score in scores:
        made.bins[int(score * BINS)] += 1
    return made


def test_psi_matches_values_worked_out_by_hand() -> None:
    # 0.3 ln(0.8 / 0.5) - 0.3 ln(0.2 / 0.5) = 0.3 * 0.4700 + 0.3 * 0.9163
    assert psi([50, 50], [80, 20]) == pytest.approx(0.4159, abs=1e-4)
    # 0.1 ln(0.6 / 0.5) - 0.1 ln(0.4 / 0.5) = 0.1 * 0.1823 + 0.1 * 0.2231
    assert psi([500, 500], [60, 40]) == pytest.approx(0.0405, abs=1e-4)
    assert psi([10, 20, 70], [100, 200, 700]) == 0.0


def test_an_empty_group_counts_as_half_a_score() -> None:
    # (0.005 - 0.5) ln(0.005 / 0.5) + 0.5 ln(1 / 0.5) = 0.495 * 4.6052 + 0.5 * 0.6931
    assert psi([50, 50], [0, 100]) == pytest.approx(2.6261, abs=1e-4)


def test_groups_hold_about_as_many_live_scores_each() -> None:
    assert even_groups([1, 1, 1, 1], 2) == [(0, 2), (2, 4)]
    assert even_groups([0, 9, 0, 1, 0], 2) == [(0, 2), (2, 5)]
    assert even_groups([5, 0, 0], 10) == [(0, 1), (1, 3)]


def test_scores_in_a_narrow_range_are_compared_by_fine_bins() -> None:
    low, lower = [0] * BINS, [0] * BINS
    low[2:4], lower[2:4] = [500, 500], [800, 200]  # ten groups of equal width would see one group of all
    assert drift(low, lower) > 0.25


def test_a_score_at_either_end_has_a_bin() -> None:
    made = WindowStats()
    made.add([0.0, 0.009, 1.0], 0.5, failed=True)
    assert (made.bins[0], made.bins[-1], made.requests, made.failed, made.seconds) == (2, 1, 1, 1, 0.5)


def test_failures_count_above_those_of_the_live_model() -> None:
    live = stats(1000, failed=20)
    assert fault_of(live, stats(100, failed=3), USUAL) is None  # 3 % against 2 %, and 1 % may be
    assert fault_of(live, stats(100, failed=4), USUAL) == "failed 4.0% of its requests, the live model 2.0%"


def test_slowness_counts_as_a_multiple_and_never_below_the_slack() -> None:
    live = stats(1000, each_s=0.020)
    assert fault_of(live, stats(100, each_s=0.0299), USUAL) is None
    assert fault_of(live, stats(100, each_s=0.0301), USUAL) == "took up to 30.1 ms per request, the live model 20.0 ms"
    assert fault_of(stats(1000, each_s=0.001), stats(100, each_s=0.0059), USUAL) is None


def test_a_few_stalls_are_not_slowness() -> None:
    stalled = stats(100, each_s=0.020)
    stalled.recent_s.extend([2.0] * 10)
    assert fault_of(stats(1000, each_s=0.020), stalled, USUAL) is None
    stalled.recent_s.extend([2.0] * 10)
    assert fault_of(stats(1000, each_s=0.020), stalled, USUAL) is not None


def test_drift_counts_above_the_threshold() -> None:
    live = stats(100, scores=[0.2, 0.7] * 1000)
    assert fault_of(live, stats(100, scores=[0.2] * 700 + [0.7] * 300 + [0.2, 0.7] * 500), USUAL) is None  # 0.0405
    fault = fault_of(live, stats(100, scores=[0.2] * 1600 + [0.7] * 400), USUAL)
    assert fault == "has other scores than the live model: PSI 0.42, allowed 0.25"


@pytest.mark.parametrize("few", [99, 0])
def test_too_little_data_is_no_fault(few: int) -> None:
    assert fault_of(stats(1000), stats(few, failed=few, each_s=9.0), USUAL) is None
    assert fault_of(stats(few), stats(1000, failed=1000, each_s=9.0), USUAL) is None
    scores = [0.9] * (USUAL.min_scores - 1)
    assert fault_of(stats(0, scores=[0.1] * 5000), stats(0, scores=scores), USUAL) is None


def alarms(num_scores: int, limits: RolloutSettings, *, shift: float = 0.0) -> int:
    """How many of 100 candidates with equally drawn, or shifted, scores are ended for drift."""
    chance, found = random.Random(7), 0
    for _ in range(100):
        live = stats(0, scores=[chance.betavariate(2, 5) for _ in range(num_scores)])
        other = stats(0, scores=[min(0.999, chance.betavariate(2, 5) + shift) for _ in range(num_scores)])
        found += fault_of(live, other, limits) is not None
    return found


def test_equal_models_raise_no_alarm_even_with_few_scores_and_shifted_ones_do() -> None:
    eager = USUAL.model_copy(update={"drift": 0.02, "min_scores": 200})
    assert alarms(200, eager) <= 1
    assert alarms(200, eager, shift=0.16) >= 90  # one standard deviation
