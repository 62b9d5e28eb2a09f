"""Each batch runs in its smallest bucket, or in pieces that cover it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bundle.manifest import Part
from models.runtime.buckets import BatchLimits, Buckets, Profile, doubling
from models.runtime.shapes import Size, Tensor

PARTS: tuple[Part, ...] = ("pair", "member", "candidate", "score")
SLOTS = Tensor("slots", np.dtype(np.float32), ("rows", "candidates", 4, 8))
MASK = Tensor("member_mask", np.dtype(np.int64), ("rows", "tokens"))

ladders = st.lists(st.integers(1, 40), min_size=1, max_size=5, unique=True).map(lambda sizes: tuple(sorted(sizes)))
sizes = st.builds(Size, st.integers(0, 90), st.integers(0, 90), st.integers(1, 40))


@st.composite
def buckets(draw: st.DrawFn) -> Buckets:
    rows, candidates, tokens = draw(ladders), draw(ladders), draw(ladders)
    least = rows[0] * candidates[-1]
    return Buckets(rows, tokens, candidates, max_pairs=draw(st.integers(least, least + 500)))


def holds(bucket: Size, size: Size) -> bool:
    return bucket.rows >= size.rows and bucket.candidates >= size.candidates and bucket.tokens >= size.tokens


def places(size: Size) -> int:
    return size.rows * size.candidates * size.tokens


@given(buckets(), sizes)
def test_the_bucket_is_the_smallest_that_holds_the_batch(given_buckets: Buckets, size: Size) -> None:
    holding = [bucket for bucket in given_buckets.every() if holds(bucket, size)]
    assert given_buckets.fit(size) == min(holding, key=places, default=None)


@given(buckets(), sizes)
def test_pieces_cover_each_pair_once_and_each_fits_a_bucket(given_buckets: Buckets, size: Size) -> None:
    covered = np.zeros((size.rows, size.candidates), dtype=int)
    for cut in given_buckets.cut(size):
        covered[cut.rows, cut.candidates] += 1
        assert covered[cut.rows, cut.candidates].shape == (cut.size.rows, cut.size.candidates)
        assert (given_buckets.fit(cut.size) is not None) == (size.tokens <= given_buckets.tokens[-1])
    assert (covered == 1).all()


@given(buckets())
def test_a_batch_that_fits_a_bucket_is_not_split(given_buckets: Buckets) -> None:
    for size in given_buckets.every():
        assert [cut.size for cut in given_buckets.cut(size)] == [size]


@given(st.integers(1, 600), st.integers(1, 600))
def test_doubling_ends_at_the_maximum_and_at_most_doubles(least: int, most: int) -> None:
    found = doubling(least, max(least, most))
    assert (found[0], found[-1]) == (least, max(least, most))
    assert all(a < b <= 2 * a for a, b in pairwise(found))


def test_sizes_match_hand_computed_ones() -> None:
    small = Buckets((1, 2, 4), tokens=(16, 32), candidates=(8, 16), max_pairs=32)
    assert small.fit(Size(1, 3, 10)) == Size(1, 8, 16)
    assert small.fit(Size(3, 9, 17)) is None  # 4 x 16 would be more than 32 pairs
    assert [(cut.rows, cut.candidates) for cut in small.cut(Size(3, 9, 17))] == [
        (slice(0, 2), slice(0, 9)),
        (slice(2, 3), slice(0, 9)),
    ]
    assert small.fit(Size(1, 8, 33)) is None  # tokens are never split


@pytest.mark.parametrize(
    ("rows", "tokens", "candidates", "most"),
    [((), (1,), (1,), 9), ((2, 2), (1,), (1,), 9), ((0, 1), (1,), (1,), 9), ((2,), (1,), (5,), 9)],
    ids=["none", "twice", "zero", "no room"],
)
def test_invalid_sizes_are_rejected(
    rows: tuple[int, ...], tokens: tuple[int, ...], candidates: tuple[int, ...], most: int
) -> None:
    with pytest.raises(ValueError, match="must"):
        Buckets(rows, tokens, candidates, most)


@pytest.mark.parametrize("part", PARTS)
def test_the_longest_texts_fit_a_bucket_of_their_graph(part: Part) -> None:
    limits = BatchLimits(member_tokens=194, candidate_tokens=130)
    longest = {"pair": 324, "member": 194, "candidate": 130, "score": 194}[part]
    assert limits.buckets(part).tokens[-1] == longest
    assert len(limits.buckets(part).every()) <= 120


def test_texts_shorter_than_the_shortest_bucket_have_their_own_bucket() -> None:
    assert BatchLimits(member_tokens=6, candidate_tokens=9).buckets("member").tokens == (6,)


def test_a_profile_spans_the_smallest_to_the_largest_size_of_each_axis() -> None:
    profile = Profile.of((SLOTS, MASK), BatchLimits(194, 130, members=8, pairs=512).buckets("score"))
    assert profile.least == {"slots": (1, 32, 4, 8), "member_mask": (1, 32)}
    assert profile.usual == {"slots": (1, 512, 4, 8), "member_mask": (1, 128)}
    assert profile.most == {"slots": (8, 512, 4, 8), "member_mask": (8, 194)}
