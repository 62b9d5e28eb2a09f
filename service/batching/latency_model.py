"""What a model run costs: seconds by number of items and the longest one, and which lengths may share a batch.

What a length counts is the lane's own: tokens of a text, candidates of a block. Knows nothing about models:
`LatencyTable.measure` times whatever callable it is given.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Self

from service.batching.latency_correction import LatencyCorrection

# An item joins a batch where that costs at most this many times its share of a full batch of its own length.
MAX_PADDING_COST = 1.25
# Long runs differ little from each other: of those one is timed, so that a start takes no longer than it must.
ENOUGH_S = 0.02


@dataclass(frozen=True)
class LatencyTable:
    """Seconds of one run on a grid: `grid[i][j]` is for `batch_sizes[i]` items padded to length `lengths[j]`.

    Between the points bilinear, beyond the largest in proportion, below the smallest length flat. Noise is
    smoothed upwards on the way in: more items or longer ones never cost less.
    """

    batch_sizes: tuple[int, ...]
    lengths: tuple[int, ...]
    grid: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        for name, axis in (("batch_sizes", self.batch_sizes), ("lengths", self.lengths)):
            if not axis or axis[0] < 1 or any(a >= b for a, b in pairwise(axis)):
                raise ValueError(f"{name} must be positive and strictly increasing")
        if [len(row) for row in self.grid] != [len(self.lengths)] * len(self.batch_sizes):
            raise ValueError("grid must have a row per batch size and a column per length")
        if not all(0 < cell < float("inf") for row in self.grid for cell in row):
            raise ValueError("grid must hold positive, finite seconds")
        object.__setattr__(self, "grid", _monotone(self.grid))

    @classmethod
    def measure(
        cls,
        run: Callable[[int, int], object],
        clock: Callable[[], float],
        *,
        batch_sizes: Sequence[int],
        lengths: Sequence[int],
        limit_s: float = float("inf"),
        repeats: int = 3,
    ) -> Self:
        """Time `run(items, longest)` over the grid; the fastest of `repeats` counts, after one to warm up, or of as
        many as are done in `ENOUGH_S`.

        Once a cell takes longer than `limit_s`, larger batches of that length are taken in
        proportion, not run: no such batch will be cut, and start-up stays short.
        """
        columns = [
            _measure_length(run, clock, length, batch_sizes=batch_sizes, limit_s=limit_s, repeats=repeats)
            for length in lengths
        ]
        return cls(tuple(batch_sizes), tuple(lengths), tuple(zip(*columns, strict=True)))

    def seconds(self, items: int, longest: int) -> float:
        """Predicted seconds of one run; 0 for no items."""
        if items <= 0:
            return 0.0
        row, row_part, row_scale = _locate(self.batch_sizes, items)
        column, column_part, column_scale = _locate(self.lengths, longest)
        low = _between(self.grid[row], column, column_part)
        if row_part:
            low += (_between(self.grid[row + 1], column, column_part) - low) * row_part
        return low * row_scale * column_scale


def _measure_length(
    run: Callable[[int, int], object],
    clock: Callable[[], float],
    length: int,
    *,
    batch_sizes: Sequence[int],
    limit_s: float,
    repeats: int,
) -> list[float]:
    seconds: list[float] = []
    for i, items in enumerate(batch_sizes):
        if seconds and seconds[-1] > limit_s:
            seconds.append(seconds[-1] * items / batch_sizes[i - 1])
            continue
        began = clock()
        run(items, length)
        times = [clock()]
        while len(times) == 1 or (len(times) <= repeats and times[-1] - began < ENOUGH_S):
            run(items, length)
            times.append(clock())
        # A clock too coarse to see the run must not make it free.
        seconds.append(max(1e-9, min(after - before for before, after in pairwise(times))))
    return seconds


def _monotone(grid: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    rows: list[tuple[float, ...]] = []
    for cells in grid:
        above = rows[-1] if rows else (0.0,) * len(cells)
        row: list[float] = []
        for cell, floor in zip(cells, above, strict=True):
            row.append(max(cell, floor, row[-1] if row else 0.0))
        rows.append(tuple(row))
    return tuple(rows)


def _locate(axis: tuple[int, ...], value: int) -> tuple[int, float, float]:
    """The index at or below `value`, how far to the next one (0..1), and the factor beyond the end."""
    if value >= axis[-1]:
        return len(axis) - 1, 0.0, value / axis[-1]
    index = bisect_right(axis, value) - 1
    if index < 0:
        return 0, 0.0, 1.0
    return index, (value - axis[index]) / (axis[index + 1] - axis[index]), 1.0


def _between(cells: tuple[float, ...], index: int, part: float) -> float:
    return cells[index] + (cells[index + 1] - cells[index]) * part if part else cells[index]


class BatchPolicy:
    """Which lengths may share a batch, and how many items fit. Answers are cached.

    All seconds are those of the table, as measured when nothing else ran; `pace` says what they take now.
    """

    def __init__(self, cost: LatencyTable, *, max_batch_tokens: int, max_batch_s: float) -> None:
        self.pace = LatencyCorrection()
        self._cost = cost
        self._max_batch_tokens = max_batch_tokens
        self.max_batch_s = max_batch_s
        self._room: list[int] = [0]  # by length
        self._share: list[float] = [0.0]  # by length, never falling
        self._shortest: dict[tuple[int, int], int] = {}
        self._extend(cost.lengths[-1])

    def room(self, longest: int) -> int:
        """How many items a batch padded to `longest` may hold; a single item always runs."""
        if longest >= len(self._room):
            self._extend(longest)
        return self._room[longest]

    def share(self, length: int) -> float:
        """Seconds that one item of this length costs in a full batch of its own length."""
        if length >= len(self._share):
            self._extend(length)
        return self._share[length]

    def total(self, lengths: Iterable[int]) -> float:
        """Seconds that items of these lengths cost in full batches of their own lengths."""
        return sum(map(self.share, lengths))

    def seconds(self, items: int, longest: int) -> float:
        """Predicted seconds of one run."""
        return self._cost.seconds(items, longest)

    def cuts(self, length: int) -> list[int]:
        """Even lengths that add up to `length`, each of which keeps to both caps by itself."""
        num = -(-length // self._longest_alone) if length else 0
        return [length // num + (part < length % num) for part in range(num)]

    def shortest(self, items: int, longest: int) -> int:
        """The shortest length that may join `items` others padded to `longest` at a fair price.

        Where one more item is almost free (a device that is not yet full), everything may join. A noisy
        table can't make this stricter than the plain ratio of shares, so equal lengths always join.
        """
        known = self._shortest.get((items, longest))
        if known is None:
            full = self.share(longest)
            marginal = self._cost.seconds(items + 1, longest) - self._cost.seconds(items, longest)
            known = bisect_left(self._share, min(marginal, full) / MAX_PADDING_COST, 1, longest)
            self._shortest[items, longest] = known
        return known

    def may_grow(self, items: int, longest: int, length: int) -> bool:
        """Whether a longer item may join, though it pads every other one up to its own length."""
        if items + 1 > self.room(length):
            return False
        extra = self._cost.seconds(items + 1, length) - self._cost.seconds(items, longest)
        return extra <= MAX_PADDING_COST * self.share(length)

    @cached_property
    def _longest_alone(self) -> int:
        fits = range(1, self._max_batch_tokens + 1)
        return max(1, bisect_right(fits, self.max_batch_s, key=lambda length: self._cost.seconds(1, length)))

    def _extend(self, length: int) -> None:
        for longest in range(len(self._room), length + 1):
            room = self._room_at(longest)
            self._room.append(room)
            self._share.append(max(self._share[-1], self._cost.seconds(room, longest) / room))

    def _room_at(self, longest: int) -> int:
        fits = range(1, self._max_batch_tokens // longest + 1)
        return max(1, bisect_right(fits, self.max_batch_s, key=lambda items: self._cost.seconds(items, longest)))
