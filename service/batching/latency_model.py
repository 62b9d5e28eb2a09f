"""The latency model of one operation: seconds of a run by its number of items and the longest of them.

The unit of length is the operation's own: tokens of a text, candidates of a block. Knows nothing about models:
`LatencyTable.measure` times the callable that it gets.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Self

# Long runs vary little, so only one of them is timed: measuring stays short.
ENOUGH_S = 0.02


@dataclass(frozen=True)
class LatencyTable:
    """Seconds of one run on a grid: `grid[i][j]` is for `batch_sizes[i]` items padded to length `lengths[j]`.

    Bilinear between the points, proportional beyond the largest, constant below the smallest length. `measure`
    smooths noise upwards, so that more or longer items never cost less.
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
        before_run: Callable[[], object] = lambda: None,
    ) -> Self:
        """Time `run(items, longest)` over the grid, each cell once to warm up and then `repeats` times.

        The fastest run counts, and the one that warms up if its items are no slower than those of the smaller batch. A
        cell ends early once its runs took `ENOUGH_S`. Once a cell takes longer than `limit_s`, larger batches of that
        length are extrapolated, since no such batch will be cut. `before_run` is called before each run, and takes no
        part in its time.
        """
        columns: list[list[float]] = []
        for length in lengths:
            seconds: list[float] = []
            for i, items in enumerate(batch_sizes):
                expected = seconds[-1] * items / batch_sizes[i - 1] if seconds else 0.0
                if expected and seconds[-1] > limit_s:
                    seconds.append(expected)
                else:
                    seconds.append(_fastest_run(partial(run, items, length), clock, repeats, before_run, expected))
            columns.append(seconds)
        return cls(tuple(batch_sizes), tuple(lengths), monotone(tuple(zip(*columns, strict=True))))

    def seconds(self, items: int, longest: int) -> float:
        """Predicted seconds of one run; 0 without items."""
        if items <= 0:
            return 0.0
        row, row_part, row_scale = _locate(self.batch_sizes, items)
        column, column_part, column_scale = _locate(self.lengths, longest)
        low = _between(self.grid[row], column, column_part)
        if row_part:
            low += (_between(self.grid[row + 1], column, column_part) - low) * row_part
        return low * row_scale * column_scale


def _fastest_run(
    run: Callable[[], object],
    clock: Callable[[], float],
    repeats: int,
    before_run: Callable[[], object],
    expected: float,
) -> float:
    """Seconds of the fastest of several runs. The first one warms up, and counts only if it is as fast as expected."""
    fastest, spent = float("inf"), 0.0
    for number in range(max(1, repeats) + 1):
        before_run()
        began = clock()
        run()
        seconds = clock() - began
        spent += seconds
        if number or seconds <= expected:
            fastest = min(fastest, seconds)
            if spent >= ENOUGH_S:
                break
    # A clock too coarse for the run must not make it free.
    return max(1e-9, fastest)


def monotone(grid: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    """The grid with each cell raised to the largest one before it, in its row and in its column."""
    rows: list[tuple[float, ...]] = []
    for cells in grid:
        above = rows[-1] if rows else (0.0,) * len(cells)
        row: list[float] = []
        for cell, floor in zip(cells, above, strict=True):
            row.append(max(cell, floor, row[-1] if row else 0.0))
        rows.append(tuple(row))
    return tuple(rows)


def _locate(axis: tuple[int, ...], value: int) -> tuple[int, float, float]:
    """The index at or below `value`, the fraction of the way to the next one, and the factor beyond the end."""
    if value >= axis[-1]:
        return len(axis) - 1, 0.0, value / axis[-1]
    index = bisect_right(axis, value) - 1
    if index < 0:
        return 0, 0.0, 1.0
    return index, (value - axis[index]) / (axis[index + 1] - axis[index]), 1.0


def _between(cells: tuple[float, ...], index: int, part: float) -> float:
    return cells[index] + (cells[index + 1] - cells[index]) * part if part else cells[index]
