"""A student replaces the live one only if it is not clearly worse."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.evaluation import promotion_gate
from training.evaluation.promotion_gate import find_live
from training.evaluation.report import Decision

LISTS = np.random.default_rng(0).uniform(0.4, 0.9, 300)
NOISE = np.random.default_rng(1).normal(0, 0.01, 300)


def decide(live: str, new: np.ndarray, old: np.ndarray, members: int | None = None) -> Decision:
    """With as many members as lists unless stated."""
    return promotion_gate.decide(live, new, old, [f"m{row % (members or len(new))}" for row in range(len(new))])


def test_an_equal_student_is_promoted() -> None:
    assert decide("jobs-v1", LISTS, LISTS).promoted


def test_a_better_student_is_promoted() -> None:
    assert decide("jobs-v1", LISTS + 0.01 + NOISE, LISTS).promoted


def test_a_worse_student_is_not_promoted() -> None:
    found = decide("jobs-v1", LISTS - 0.01 + NOISE, LISTS)
    assert not found.promoted
    assert "minus jobs-v1: -0.01" in found.sentence
    assert "is under -0.002" in found.sentence


def test_a_student_that_may_be_worse_is_not_promoted() -> None:
    few = decide("jobs-v1", LISTS[:5] + np.array([0.1, -0.1, 0.1, -0.1, 0.02]), LISTS[:5])
    assert few.difference.mean > 0
    assert not few.promoted


def test_unjudged_lists_do_not_count() -> None:
    unjudged = np.append(LISTS, np.nan)
    assert decide("jobs-v1", unjudged, unjudged) == decide("jobs-v1", LISTS, LISTS)


def test_a_sample_that_cannot_decide_says_how_many_lists_it_takes() -> None:
    noisy = LISTS + np.random.default_rng(2).normal(0, 0.3, 300)
    found = decide("jobs-v1", noisy, LISTS)
    assert "An equal student needs about" in found.sentence
    assert "needs about" not in decide("jobs-v1", LISTS, LISTS).sentence


def test_lists_of_one_member_are_no_independent_lists() -> None:
    by_member = np.tile(np.random.default_rng(4).normal(0, 0.05, 30), 10)
    apart, together = decide("jobs-v1", LISTS + by_member, LISTS), decide("jobs-v1", LISTS + by_member, LISTS, 30)
    widths = [each.difference.high - each.difference.low for each in (apart, together)]
    assert widths[1] > 2 * widths[0]


def test_with_one_member_the_lists_show_the_spread() -> None:
    noisy = LISTS + np.random.default_rng(2).normal(0, 0.3, 300)
    assert decide("jobs-v1", noisy, LISTS, 1).difference == decide("jobs-v1", noisy, LISTS).difference


def test_most_equal_students_pass() -> None:
    random = np.random.default_rng(3)
    passed = [decide("jobs-v1", LISTS + random.normal(0, 0.1, 300), LISTS).promoted for _ in range(100)]
    assert sum(passed) >= 70  # the fixed margin of .002 let about one in ten pass


def test_live_is_the_newest_version_of_the_name(tmp_path: Path) -> None:
    for name in ("jobs-v2", "jobs-v10", "jobs-7b-v11", "jobs-vx", "products-v12"):
        (tmp_path / name).mkdir()
    assert find_live(tmp_path, "jobs") == tmp_path / "jobs-v10"
    assert find_live(tmp_path, "demo") is None
