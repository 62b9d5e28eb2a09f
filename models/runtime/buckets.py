"""Fixed shapes for a GPU: which bucket a batch runs in, and how a batch larger than any bucket is split.

A GPU plans memory and picks kernels for each new shape, and a captured CUDA graph has one fixed shape. So a batch is
padded to one of few shapes, which all run once before the first request. Pure: knows sizes, no session.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from models.bundle.manifest import Part
from models.runtime.shapes import Axis, Size, Tensor


@dataclass(frozen=True, slots=True)
class Cut:
    """A piece of a batch: a range of rows, a range of candidates, all tokens."""

    rows: slice
    candidates: slice
    size: Size

    def of(self, tensor: Tensor) -> tuple[slice, ...]:
        """The piece's place in the whole array of a tensor."""
        return tuple(self._part(dim) for dim in tensor.dims)

    def _part(self, dim: int | Axis) -> slice:
        return self.rows if dim == "rows" else self.candidates if dim == "candidates" else slice(None)


@dataclass(frozen=True)
class Buckets:
    """The sizes of each axis, ascending. A bucket has one size of each axis, and rows x candidates <= `max_pairs`."""

    rows: tuple[int, ...]
    tokens: tuple[int, ...] = (1,)
    candidates: tuple[int, ...] = (1,)
    max_pairs: int = 1 << 30

    def __post_init__(self) -> None:
        for sizes in (self.rows, self.candidates, self.tokens):
            if not sizes or sizes[0] < 1 or any(a >= b for a, b in pairwise(sizes)):
                raise ValueError("the sizes of an axis must be positive and strictly increasing")
        if self.rows[0] * self.candidates[-1] > self.max_pairs:
            raise ValueError("max_pairs must allow the fewest rows with the most candidates")

    def every(self) -> tuple[Size, ...]:
        """All buckets, small ones first."""
        grid = (Size(r, c, t) for r in self.rows for c in self.candidates for t in self.tokens)
        kept = (size for size in grid if size.rows * size.candidates <= self.max_pairs)
        return tuple(sorted(kept, key=lambda size: size.rows * size.candidates * size.tokens))

    def fit(self, size: Size) -> Size | None:
        """The smallest bucket that holds a batch of this size, or None."""
        rows, candidates = _smallest(self.rows, size.rows), _smallest(self.candidates, size.candidates)
        tokens = _smallest(self.tokens, size.tokens)
        if rows is None or candidates is None or tokens is None or rows * candidates > self.max_pairs:
            return None
        return Size(rows, candidates, tokens)

    def cut(self, size: Size) -> list[Cut]:
        """Pieces that cover the batch exactly once; each fits a bucket if the batch's tokens fit one."""
        cuts = []
        for candidates in _slices(size.candidates, self.candidates[-1]):
            num_candidates = candidates.stop - candidates.start
            max_rows = self.max_pairs // (_smallest(self.candidates, num_candidates) or num_candidates)
            for rows in _slices(size.rows, max(each for each in self.rows if each <= max_rows)):
                cuts.append(Cut(rows, candidates, Size(rows.stop - rows.start, num_candidates, size.tokens)))
        return cuts


def _smallest(sizes: tuple[int, ...], wanted: int) -> int | None:
    index = bisect_left(sizes, wanted)
    return sizes[index] if index < len(sizes) else None


def _slices(total: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, total)) for start in range(0, total, step)]


@dataclass(frozen=True)
class BatchLimits:
    """Limits of a model's batches, from which the buckets and profiles of all its graphs follow.

    Tokens are the text encoder's maximum for a side, with special tokens.
    """

    member_tokens: int
    candidate_tokens: int
    members: int = 16
    pairs: int = 1024
    fewest_candidates: int = 32
    shortest: int = 32

    def buckets(self, part: Part) -> Buckets:
        """The buckets of one graph of the model."""
        if part == "pair":
            return Buckets(doubling(1, self.pairs), self._lengths(self.member_tokens + self.candidate_tokens))
        if part == "candidate":
            return Buckets(doubling(1, self.pairs), self._lengths(self.candidate_tokens))
        members, lengths = doubling(1, self.members), self._lengths(self.member_tokens)
        if part == "member":
            return Buckets(members, lengths)
        candidates = doubling(min(self.fewest_candidates, self.pairs), self.pairs)
        return Buckets(members, lengths, candidates, max_pairs=self.pairs)

    def _lengths(self, longest: int) -> tuple[int, ...]:
        return doubling(min(self.shortest, longest), longest)


def doubling(least: int, most: int) -> tuple[int, ...]:
    """Doubles from `least`, and ends with `most`: 32 and 196 give 32, 64, 128, 196."""
    sizes = [least]
    while sizes[-1] * 2 < most:
        sizes.append(sizes[-1] * 2)
    return (*sizes, most) if most > least else (least,)


@dataclass(frozen=True)
class Profile:
    """The smallest, usual and largest shape of each input, for an engine that is built for a range of shapes."""

    least: Mapping[str, tuple[int, ...]]
    usual: Mapping[str, tuple[int, ...]]
    most: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, inputs: Iterable[Tensor], buckets: Buckets) -> Profile:
        """From the smallest to the largest size of each axis; usual is a full batch of medium length."""
        known = tuple(inputs)
        least = Size(buckets.rows[0], buckets.candidates[0], buckets.tokens[0])
        medium = buckets.tokens[len(buckets.tokens) // 2]
        usual = buckets.cut(Size(buckets.rows[-1], buckets.candidates[-1], medium))[0].size
        most = Size(buckets.rows[-1], buckets.candidates[-1], buckets.tokens[-1])
        return cls(*({each.name: each.shape(size) for each in known} for size in (least, usual, most)))
