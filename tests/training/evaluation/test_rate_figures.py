"""The report of a log of counts: order of pairs beside a ridge regression, and calibration by times shown."""

from __future__ import annotations

import numpy as np

from models.heads import Calibration
from training.data.impressions import SHOWN
from training.data.lists import CandidateList
from training.evaluation.baselines import ridge_scores
from training.evaluation.figures import head_figures

WORDS = ("shocking", "plain", "secret", "dull")


def logged(count: int, seed: int) -> list[CandidateList]:
    """Two candidates a list; one with `shocking` in it is clicked twice as often."""
    drawn, lists = np.random.default_rng(seed), []
    for number in range(count):
        words = drawn.permutation(WORDS)[:2]
        rates = np.array([0.1 if word == "shocking" else 0.05 for word in words])
        shown = drawn.integers(2000, 3000, 2).astype(float)
        labels = {"click": drawn.binomial(shown.astype(int), rates) / shown, SHOWN: shown}
        lists.append(
            CandidateList(f"l{number}", "log", f"m{number}", tuple(f"a {word} story" for word in words), labels)
        )
    return lists


def test_a_ridge_regression_learns_the_words_that_draw_clicks() -> None:
    test = logged(40, seed=1)
    scores = {
        "student-int8": [np.zeros(2) for _ in test],
        "ridge": ridge_scores(logged(200, seed=0), test, "click"),
    }
    calibration = Calibration(slope=1.0, intercept=float(np.log(0.0625 / 0.9375)))
    found = head_figures("click", test, scores, {"student-int8": calibration}, "student-int8").sources["log"]
    assert found.systems["ridge"]["significant pairs in order"].mean == 1.0
    assert found.systems["student-int8"]["significant pairs in order"].mean == 0.5
    assert 0 < found.pairs["significant pairs in order"] < found.pairs["pairs in order"] == 40
    assert found.calibration_error < 0.01
    assert abs(found.brier_skill) < 0.1


def test_a_log_of_single_impressions_has_no_figures_of_rates() -> None:
    test = [CandidateList("l", "log", "m", ("a", "b"), {"click": np.array([1.0, 0.0]), SHOWN: np.ones(2)})]
    scores = {"student-int8": [np.array([1.0, 0.0])]}
    calibrations = {"student-int8": Calibration(slope=1.0, intercept=0.0)}
    found = head_figures("click", test, scores, calibrations, "student-int8").sources["log"]
    assert found.pairs == {}
    assert "pairs in order" not in found.systems["student-int8"]
