"""Team-draft interleaving and sample sizes: fair drafts, known preferences, and plans that keep their power."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from training.counterfactual.interleaving import Placed, preference, sign_test, team_draft
from training.counterfactual.sample_size import lists_interleaved, logged_requests, members_per_arm
from training.errors import UserError

A, B = ["a", "b", "c", "d"], ["d", "c", "e", "a"]
BOTH = ("one", "two")


def test_a_draft_holds_each_candidate_once_and_as_many_of_both() -> None:
    for seed in range(50):
        placed = team_draft({"one": A, "two": B}, 4, seed)
        assert len({each.candidate_id for each in placed}) == 4
        assert Counter(each.policy_id for each in placed) == {"one": 2, "two": 2}
        assert placed == team_draft({"one": A, "two": B}, 4, seed)


def test_each_version_comes_first_half_of_the_time() -> None:
    first = Counter(team_draft({"one": A, "two": B}, 1, seed)[0] for seed in range(2000))
    assert set(first) == {Placed("a", "one"), Placed("d", "two")}
    assert abs(first[Placed("a", "one")] - 1000) < 120


def test_a_short_ranking_leaves_its_places_to_the_other() -> None:
    assert {each.candidate_id for each in team_draft({"one": ["a"], "two": ["a", "b", "c"]}, 3, 0)} == {"a", "b", "c"}
    with pytest.raises(UserError, match="two rankings, not 1"):
        team_draft({"one": A}, 3, 0)


def clicks(better: float, lists: int, seed: int) -> list[dict[str, float]]:
    """Each list has a click for one version, the first one's with this chance; every fourth list has none."""
    drawn = random.Random(seed)
    return [{} if number % 4 == 0 else {"one" if drawn.random() < better else "two": 1.0} for number in range(lists)]


def test_a_better_version_is_preferred_and_equal_ones_are_not() -> None:
    ids = [str(number) for number in range(800)]
    found = preference(clicks(0.62, 800, 1), ids, BOTH)
    assert "one is preferred" in found.sentence
    assert found.p < 0.01
    assert found.ties == 200
    equal = [preference(clicks(0.5, 800, seed), ids, BOTH).p < 0.05 for seed in range(40)]
    assert sum(equal) <= 6


def test_the_sign_test_is_that_of_a_fair_coin() -> None:
    assert sign_test(8, 2) == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert sign_test(0, 0) == 1.0
    assert sign_test(1200, 1000) == pytest.approx(2.2e-5, rel=0.1)


def test_sizes_are_those_of_the_textbook() -> None:
    """Fleiss: 0.05 against 0.06 at 80 % takes 8,155 in each arm without the correction of continuity."""
    assert members_per_arm(0.05, 0.2) == pytest.approx(8155, abs=5)
    assert members_per_arm(0.05, 0.2, design=2) == pytest.approx(2 * 8155, abs=10)
    assert logged_requests(0.05, 0.2, 0.25) > members_per_arm(0.05, 0.2)
    assert lists_interleaved(0.6) == pytest.approx(197, abs=1)
    assert lists_interleaved(0.6, ties=0.5) == pytest.approx(393, abs=1)


def test_a_planned_sample_finds_the_lift_as_often_as_planned() -> None:
    size, drawn = members_per_arm(0.05, 0.2), np.random.default_rng(0)
    one, two = drawn.binomial(size, 0.05, 2000) / size, drawn.binomial(size, 0.06, 2000) / size
    error = np.sqrt(one * (1 - one) / size + two * (1 - two) / size)
    assert abs(float(((two - one) / error > 1.96).mean()) - 0.8) < 0.04
