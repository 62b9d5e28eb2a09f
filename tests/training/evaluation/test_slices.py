"""Held-out lists by kind, and the pairs that break the policy worst."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.lists import CandidateList
from training.evaluation.slices import FEWEST, length_thirds, seniority, slice_figures
from training.evaluation.worst_errors import worst_breaks


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("Senior data engineer\njunior before that", "senior"),
        ("Head of care, ward 4", "senior"),
        ("Junior cook", "junior"),
        ("Leadership coach", "level not said"),
        ("cook\nonce led by a senior chef", "level not said"),
    ],
)
def test_seniority_is_what_the_first_line_says(member: str, expected: str) -> None:
    assert seniority(member) == expected


def test_lengths_fall_into_thirds() -> None:
    assert length_thirds(["a" * n for n in (1, 9, 2, 8, 5, 5)]) == [
        "short",
        "long",
        "short",
        "long",
        "middle",
        "middle",
    ]


def lists(count: int, source: str, member: str) -> list[CandidateList]:
    return [CandidateList(f"{source}{i}", source, member, ("x", "y"), {}) for i in range(count)]


def test_a_slice_that_is_served_badly_shows() -> None:
    some = lists(10, "a", "senior cook") + lists(10, "b", "junior cook with some more words")
    found = slice_figures(some, {"student": np.array([0.9] * 10 + [0.3] * 10)})
    assert found["seniority"]["senior"]["systems"]["student"]["mean"] == pytest.approx(0.9)
    assert found["seniority"]["junior"]["systems"]["student"]["mean"] == pytest.approx(0.3)
    assert found["source"]["b"]["lists"] == 10


def test_a_slice_of_very_few_lists_is_left_out() -> None:
    some = lists(10, "a", "cook") + lists(10, "b", "cook") + lists(FEWEST - 1, "c", "cook")
    assert set(slice_figures(some, {"student": np.ones(len(some))})["source"]) == {"a", "b"}


def test_a_kind_of_one_slice_alone_says_nothing() -> None:
    assert "source" not in slice_figures(lists(10, "a", "cook"), {"student": np.ones(10)})


def test_the_worst_breaks_are_those_farthest_from_the_gain() -> None:
    gains = {"h": np.array([1.0, 0.0, np.nan])}
    some = [CandidateList(str(i), "s", f"m{i}", ("fits", "does not", "unknown"), gains) for i in range(3)]
    stated = [np.array([0.9, 0.2, 1.0]), np.array([0.1, 0.3, 0.0]), np.array([0.8, 0.95, 0.5])]
    too_high, too_low = worst_breaks(some, "h", stated, untold=(), count=2)
    assert [(each.member, each.candidate, each.probability) for each in too_high] == [
        ("m2", "does not", 0.95),
        ("m1", "does not", 0.3),
    ]
    assert [(each.member, each.candidate, each.probability) for each in too_low] == [
        ("m1", "fits", 0.1),
        ("m2", "fits", 0.8),
    ]


def test_texts_of_an_untold_source_are_never_shown() -> None:
    secret = CandidateList("1", "private", "a person", ("job",), {"h": np.array([0.0])})
    assert worst_breaks([secret], "h", [np.array([1.0])], untold={"private"}, count=5) == ([], [])
