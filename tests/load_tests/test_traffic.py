"""The traffic is determined by its seed and has the stated mix."""

from __future__ import annotations

from collections import Counter

import pytest

from load_tests.traffic import Mix, first


def test_the_same_seed_gives_the_same_requests() -> None:
    assert first(Mix(seed=3), 20) == first(Mix(seed=3), 20)
    assert first(Mix(seed=3), 20) != first(Mix(seed=4), 20)


def test_list_sizes_follow_their_weights() -> None:
    mix = Mix(sizes=(1, 10), size_weights=(3, 1), popular=50)
    sizes = Counter(len(request.candidates) for request in first(mix, 400))
    assert set(sizes) == {1, 10}
    assert 2.2 < sizes[1] / sizes[10] < 4.2


def test_popular_candidates_recur_with_the_same_text_and_fresh_ones_do_not() -> None:
    seen: dict[str, set[str]] = {}
    times: Counter[str] = Counter()
    for request in first(Mix(sizes=(25,), size_weights=(1,), popular=100), 100):
        ids = [candidate.id for candidate in request.candidates]
        assert len(set(ids)) == 25, "a list shows a candidate once"
        for candidate in request.candidates:
            seen.setdefault(candidate.id, set()).add(candidate.text)
            times[candidate.id] += 1
    assert all(len(texts) == 1 for texts in seen.values())
    assert times["popular-0"] > 50
    assert all(num == 1 for name, num in times.items() if name.startswith("fresh"))


def test_no_candidate_recurs_when_repeated_is_zero() -> None:
    ids = [candidate.id for request in first(Mix(repeated=0.0), 20) for candidate in request.candidates]
    assert len(set(ids)) == len(ids)


def test_text_lengths_are_mixed_around_their_median_and_capped() -> None:
    mix = Mix(sizes=(50,), size_weights=(1,), repeated=0.0, candidate_words=100, longest_words=300)
    lengths = sorted(len(one.text.split()) for request in first(mix, 20) for one in request.candidates)
    assert 85 < lengths[len(lengths) // 2] < 120
    assert lengths[0] < 40
    assert 250 < lengths[-1] <= 310


def test_an_invalid_mix_is_rejected() -> None:
    with pytest.raises(ValueError, match="one weight each"):
        Mix(sizes=(1, 2), size_weights=(1,))
    with pytest.raises(ValueError, match="between 0 and 1"):
        Mix(repeated=1.5)
