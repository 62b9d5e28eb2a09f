"""A student replaces the live one only if it is not clearly worse."""

from __future__ import annotations

import numpy as np

from training.evaluation.promotion_gate import decide

LISTS = np.random.default_rng(0).uniform(0.4, 0.9, 300)
NOISE = np.random.default_rng(1).normal(0, 0.01, 300)


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
