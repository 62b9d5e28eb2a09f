"""The batch policy of one operation: which lengths may share a batch, and how many items fit.

Knows the latency model, and nothing of queues, deadlines or models.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache

from service.batching.latency_correction import LatencyCorrection
from service.batching.latency_model import LatencyTable

# An item joins a batch if that costs at most this multiple of its unit cost.
MAX_PADDING_COST = 1.25
# Most batches have one of few sizes, so few predictions are kept.
CACHED_SECONDS = 4096


class BatchPolicy:
    """Which lengths may share a batch, and how many items fit. Answers are cached.

    All seconds are those of the latency table, measured on an idle machine; `correction` follows the load.
    """

    def __init__(self, latency: LatencyTable, *, max_batch_tokens: int, max_batch_s: float) -> None:
        self.correction = LatencyCorrection()
        self._latency = latency
        self.seconds: Callable[[int, int], float] = lru_cache(CACHED_SECONDS)(latency.seconds)
        """Predicted seconds of a run, by its number of items and the longest of them."""
        self._max_batch_tokens = max_batch_tokens
        self.max_batch_s = max_batch_s
        self._max_items: list[int] = [0]  # by length
        self._unit_cost: list[float] = [0.0]  # by length, never falling
        self._min_length: dict[tuple[int, int], int] = {}
        self._extend(latency.lengths[-1])

    def max_items(self, longest: int) -> int:
        """The most items of a batch padded to `longest`; a single item always runs."""
        if longest >= len(self._max_items):
            self._extend(longest)
        return self._max_items[longest]

    def unit_cost(self, length: int) -> float:
        """Seconds of one item in a full batch of items of its length."""
        if length >= len(self._unit_cost):
            self._extend(length)
        return self._unit_cost[length]

    def total_cost(self, lengths: Iterable[int]) -> float:
        return sum(map(self.unit_cost, lengths))

    def split_evenly(self, length: int) -> list[int]:
        """Even lengths that add up to `length`; a batch of one such item keeps both caps."""
        num = -(-length // self._longest_alone) if length else 0
        return [length // num + (part < length % num) for part in range(num)]

    def min_length(self, items: int, longest: int) -> int:
        """The shortest length that may join `items` others padded to `longest`.

        If one more item is almost free, because the device is not full, every length may join. A noisy table cannot
        make this stricter than the ratio of unit costs, so equal lengths always join.
        """
        known = self._min_length.get((items, longest))
        if known is None:
            full = self.unit_cost(longest)
            marginal = self.seconds(items + 1, longest) - self.seconds(items, longest)
            known = bisect_left(self._unit_cost, min(marginal, full) / MAX_PADDING_COST, 1, longest)
            self._min_length[items, longest] = known
        return known

    def may_grow(self, items: int, longest: int, length: int) -> bool:
        """Whether a longer item may join, although all others are padded to its length."""
        if items + 1 > self.max_items(length):
            return False
        extra = self.seconds(items + 1, length) - self.seconds(items, longest)
        return extra <= MAX_PADDING_COST * self.unit_cost(length)

    @cached_property
    def _longest_alone(self) -> int:
        fits = range(1, self._max_batch_tokens + 1)
        return max(1, bisect_right(fits, self.max_batch_s, key=lambda length: self._latency.seconds(1, length)))

    def _extend(self, length: int) -> None:
        for longest in range(len(self._max_items), length + 1):
            items = self._max_items_at(longest)
            self._max_items.append(items)
            self._unit_cost.append(max(self._unit_cost[-1], self._latency.seconds(items, longest) / items))

    def _max_items_at(self, longest: int) -> int:
        fits = range(1, self._max_batch_tokens // longest + 1)
        return max(1, bisect_right(fits, self.max_batch_s, key=lambda items: self._latency.seconds(items, longest)))
