"""Measures as sums over lists, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics.measures import KAPPA, MEASURES, exponential, measure_for

GAINS = np.array([1.0, 0.5, 0.25, 0.0])


def figure(name: str, scores: list[float], gains: np.ndarray = GAINS) -> float:
    found = np.array(scores, dtype=np.float64)
    measure = measure_for(name, found)
    return float(measure.value(measure.sums(found, gains)))


def test_ranking_gains_are_powers_of_two() -> None:
    assert exponential(np.array([0.0, 0.25, 0.5, 0.75, 1.0])).tolist() == [0, 1, 3, 7, 15]


def test_ndcg_by_hand() -> None:
    ideal = 15 + 3 / np.log2(3) + 1 / 2
    assert figure("ndcg@10", [4, 3, 2, 1]) == 1.0
    assert np.isclose(figure("ndcg@10", [3, 4, 2, 1]), (3 + 15 / np.log2(3) + 1 / 2) / ideal)


def test_a_list_of_equal_gains_has_no_order_to_judge() -> None:
    assert not MEASURES["ndcg@10"].sums(np.array([1.0, 2.0]), np.array([0.5, 0.5])).any()


def test_pairs_in_order_count_ties_half() -> None:
    # of six pairs the last two are tied, and the second and third are the wrong way round
    assert figure("pairs in order", [4, 1, 2, 1]) == (4 + 0.5) / 6


def test_auc_of_the_top_grade_looks_at_the_top_grade_only() -> None:
    assert figure("auc top grade", [2, 1, 3, 0]) == 2 / 3
    assert not MEASURES["auc top grade"].sums(np.array([1.0, 2.0]), np.array([0.5, 0.25])).any()


def test_poor_matches_are_grades_of_nought_and_one_among_the_first_ten() -> None:
    gains = np.array([0.25] * 3 + [0.5] * 9)
    assert figure("poor matches@10", list(range(12, 0, -1)), gains) == 0.3
    assert figure("poor matches@10", list(range(12)), gains) == 0.1
    # equal scores: the poor ones count as shown first
    assert figure("poor matches@10", [0.0] * 12, gains) == 0.3


def test_brier_skill_of_the_base_rate_is_nought() -> None:
    rate = float(GAINS.mean())
    assert np.isclose(figure("brier skill", [rate] * 4), 0)
    assert figure("brier skill", list(GAINS)) == 1
    assert figure("brier skill", list(1 - GAINS)) < 0


def test_calibration_error_is_nought_only_for_probabilities_that_hold() -> None:
    stated = np.linspace(0.05, 0.95, 200)
    acted = (np.random.default_rng(1).random(200) < stated).astype(np.float64)
    assert figure("ece", list(stated), acted) < 0.12
    assert np.isclose(figure("ece", [0.9] * 4, np.zeros(4)), 0.9)


def test_a_head_that_says_the_mean_is_calibrated_and_has_no_kappa() -> None:
    gains = np.array([0.0, 0.25, 0.5, 0.75, 1.0] * 4)
    assert np.isclose(figure("ece", [0.5] * 20, gains), 0)
    assert float(KAPPA.value(KAPPA.sums(np.full(20, 0.5), gains))) == 0
    assert float(KAPPA.value(KAPPA.sums(gains, gains))) == 1


@pytest.mark.parametrize(("scores", "expected"), [([4, 3, 2, 1], 1.0), ([1, 2, 3, 4], 0.0), ([1, 1, 1, 1], 0.5)])
def test_pooled_auc_by_hand(scores: list[float], expected: float) -> None:
    assert figure("pooled auc top grade", scores) == expected


def test_pooled_auc_counts_pairs_of_different_lists() -> None:
    scores = np.random.default_rng(2).normal(size=200)
    gains = (scores + np.random.default_rng(3).normal(size=200) > 0).astype(np.float64)
    measure = measure_for("pooled auc top grade", scores)
    totals = np.sum([measure.sums(scores[[row]], gains[[row]]) for row in range(200)], axis=0)
    difference = scores[gains == 1][:, None] - scores[gains == 0][None, :]
    assert abs(float(measure.value(totals)) - (difference > 0).mean()) < 0.005
