"""Quadratic-weighted kappa against numbers worked out by hand, and its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.metrics.kappa import agreement, quadratic_kappa

MEMBERS = list("abcd")


def counts(first: list[int], second: list[int]) -> np.ndarray:
    table = np.zeros((5, 5))
    np.add.at(table, (first, second), 1)
    return table


def test_it_matches_hand_calculation() -> None:
    # Squared distances of the pairs: 0, 1, 0, 1, so 2 in all. By chance each of (0, 0, 1, 2) meets each of
    # (0, 1, 1, 1): 0+1+1+1, 0+1+1+1, 1+0+0+0, 4+1+1+1, which is 14 over 4 pairs = 3.5.
    assert quadratic_kappa(counts([0, 0, 1, 2], [0, 1, 1, 1])) == pytest.approx(1 - 2 / 3.5)


def test_full_agreement_is_one_and_opposite_grades_are_below_zero() -> None:
    assert quadratic_kappa(counts([0, 2, 4], [0, 2, 4])) == 1
    assert quadratic_kappa(counts([0, 4], [4, 0])) == -1


def test_a_miss_by_two_weighs_four_times_a_miss_by_one() -> None:
    spread = [0, 1, 2, 3, 4] * 20
    near, far = spread.copy(), spread.copy()
    near[2], far[2] = 3, 4
    lost_near, lost_far = (1 - quadratic_kappa(counts(spread, each)) for each in (near, far))
    assert lost_far / lost_near == pytest.approx(4, rel=0.05)


def test_kappa_of_constant_raters_is_undefined() -> None:
    assert math.isnan(agreement([3, 3], [3, 3], ["a", "b"]).kappa.mean)


def test_the_interval_contains_kappa_and_narrows_with_more_members() -> None:
    random = np.random.default_rng(0)
    first = random.integers(0, 5, 1200)
    second = np.clip(first + random.integers(-1, 2, 1200), 0, 4)
    members = [str(number // 4) for number in range(1200)]
    few = agreement(first[:80].tolist(), second[:80].tolist(), members[:80])
    many = agreement(first.tolist(), second.tolist(), members)
    assert few.kappa.low < few.kappa.mean < few.kappa.high
    assert (many.pairs, many.members) == (1200, 300)
    assert many.kappa.high - many.kappa.low < (few.kappa.high - few.kappa.low) / 2


def test_pairs_of_one_member_are_resampled_together() -> None:
    """Ten copies of each pair under its member add no certainty; under distinct members they would."""
    first, second = [0, 1, 2, 3, 4, 4, 2, 0], [0, 2, 2, 3, 3, 4, 0, 1]
    names = [str(number) for number in range(8)]
    once = agreement(first, second, names)
    copied = agreement(first * 10, second * 10, names * 10)
    apart = agreement(first * 10, second * 10, [str(number) for number in range(80)])
    assert (copied.kappa.low, copied.kappa.high) == pytest.approx((once.kappa.low, once.kappa.high))
    assert apart.kappa.high - apart.kappa.low < copied.kappa.high - copied.kappa.low
