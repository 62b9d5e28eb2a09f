"""Held-out lists by kind, and the worst errors."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.lists import CandidateList
from training.evaluation.slices import FEWEST, length_thirds, seniority, slice_figures
from training.evaluation.worst_errors import WorstErrors, worst_errors


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
def test_the_first_line_gives_the_seniority(member: str, expected: str) -> None:
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


def test_a_slice_with_bad_results_shows() -> None:
    some = lists(10, "a", "senior cook") + lists(10, "b", "junior cook with some more words")
    found = slice_figures(some, {"student": np.array([0.9] * 10 + [0.3] * 10)})
    assert found["seniority"]["senior"].systems["student"].mean == pytest.approx(0.9)
    assert found["seniority"]["junior"].systems["student"].mean == pytest.approx(0.3)
    assert found["source"]["b"].lists == 10


def test_a_slice_of_very_few_lists_is_left_out() -> None:
    some = lists(10, "a", "cook") + lists(10, "b", "cook") + lists(FEWEST - 1, "c", "cook")
    assert set(slice_figures(some, {"student": np.ones(len(some))})["source"]) == {"a", "b"}


def test_a_kind_of_a_single_slice_is_left_out() -> None:
    assert "source" not in slice_figures(lists(10, "a", "cook"), {"student": np.ones(10)})


def test_the_worst_errors_are_farthest_from_the_gain() -> None:
    gains = {"h": np.array([1.0, 0.0, np.nan])}
    some = [CandidateList(str(i), "s", f"m{i}", ("fits", "does not", "unknown"), gains) for i in range(3)]
    stated = [np.array([0.9, 0.2, 1.0]), np.array([0.1, 0.3, 0.0]), np.array([0.8, 0.95, 0.5])]
    found = worst_errors(some, "h", stated, private=(), count=2)
    assert [(each.member, each.candidate, each.probability) for each in found.too_high] == [
        ("m2", "does not", 0.95),
        ("m1", "does not", 0.3),
    ]
    assert [(each.member, each.candidate, each.probability) for each in found.too_low] == [
        ("m1", "fits", 0.1),
        ("m2", "fits", 0.8),
    ]


def test_texts_of_a_private_source_are_never_shown() -> None:
    secret = CandidateList("1", "private", "a person", ("job",), {"h": np.array([0.0])})
    assert worst_errors([secret], "h", [np.array([1.0])], private={"private"}, count=5) == WorstErrors([], [])
