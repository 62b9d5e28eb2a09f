"""The audit fails a scorer that treats groups differently, and passes one that does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from training.data.lists import CandidateList
from training.evaluation.fairness import SWAPS, Swap, audit, impact_ratios, with_cues

SWAP = Swap("gender", {"she": ("she/her",), "he": ("he/him",)})
LISTS = [
    CandidateList(f"l{index}", "s", f"member {index}", tuple(f"job {index} {place}" for place in range(6)), {})
    for index in range(12)
]


def fair(lists: Sequence[CandidateList]) -> np.ndarray:
    """Looks at candidates only."""
    return np.array([sum(map(ord, text)) % 97 / 97 for each in lists for text in each.candidates])


def unfair(lists: Sequence[CandidateList]) -> np.ndarray:
    """Halves the scores of women, and reverses their order."""
    women = np.repeat([each.member.startswith("she/her") for each in lists], [len(each) for each in lists])
    return np.where(women, (1 - fair(lists)) / 2, fair(lists))


def test_a_scorer_that_reads_candidates_only_passes() -> None:
    found = audit(LISTS, fair)
    assert found.keys() == {swap.name for swap in SWAPS}
    for swap in found.values():
        assert swap.lowest_ratio == 1.0
        assert swap.passes
        assert all(row.difference.mean == 0 == row.other_first_choice for row in swap.groups.values())


def test_a_scorer_that_halves_one_groups_scores_does_not() -> None:
    found = audit(LISTS, unfair, [SWAP])["gender"]
    assert not found.passes
    assert found.groups["she"].scoring_ratio < 0.8
    assert found.groups["he"].difference.low > 0.1
    assert found.groups["he"].other_first_choice == 1.0


def test_the_scoring_rate_is_the_share_above_the_median_of_all() -> None:
    scores = {"she": np.array([0.1, 0.2, 0.9]), "he": np.array([0.6, 0.7, 0.8])}  # the median is 0.65
    lists = [CandidateList("l", "s", "m", ("a", "b", "c"), {})]
    found = audit(lists, lambda swapped: scores["she" if swapped[0].member.startswith("she") else "he"], [SWAP], top=1)
    groups = found["gender"].groups
    assert [groups[name].scoring_rate for name in ("she", "he")] == pytest.approx([1 / 3, 2 / 3])
    assert groups["she"].scoring_ratio == pytest.approx(0.5)


def test_ratios_are_to_the_highest_rate() -> None:
    assert impact_ratios({"a": 0.2, "b": 0.4}) == {"a": 0.5, "b": 1.0}
    assert impact_ratios({"a": 0.0, "b": 0.0}) == {"a": 1.0, "b": 1.0}


def test_cues_alternate_and_candidates_stay() -> None:
    found = with_cues(LISTS[:3], ("Anne", "Emily"))
    assert [each.member for each in found] == ["Anne. member 0", "Emily. member 1", "Anne. member 2"]
    assert [each.candidates for each in found] == [each.candidates for each in LISTS[:3]]
