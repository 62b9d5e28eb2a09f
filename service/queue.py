"""The pairs that wait, and how they are cut into batches: deadlines, order and cost.

Pure bookkeeping: no clock (now is an argument), no I/O, no threads, no tensors. Knows lengths, never text.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from service.cost import CostTable, Packing
from service.work import Batch, PairWork, Request

# How many requests one batch looks through for pairs that fit: cutting stays cheap however many wait.
_MAX_LOOKED_AT = 256


class QueueClosed(Exception):
    """The queue takes nothing new: the engine is stopping."""


class _Waiting:
    """The pairs of one request that wait, shortest first."""

    __slots__ = ("lengths", "number", "pairs", "request", "urgency")

    def __init__(self, request: Request, urgency: float, number: int) -> None:
        self.request = request
        self.urgency = urgency
        self.number = number
        self.pairs = sorted(request.pairs, key=lambda pair: pair.length)
        self.lengths = [pair.length for pair in self.pairs]


class PairQueue:
    """Requests in order of urgency, cut into batches that fit the token and time caps.

    Urgency is the deadline, or arrival plus `patience_s` where that is sooner, fixed when the request is put:
    a request is overtaken only by those that came within its patience. The most urgent request leads the
    batch with its longest pair; other pairs join, its own first, only where padding stays cheap.
    """

    def __init__(self, cost: CostTable, *, max_batch_tokens: int, max_batch_s: float, patience_s: float) -> None:
        self._max_batch_tokens = max_batch_tokens
        self._max_batch_s = max_batch_s
        self._patience_s = patience_s
        self._packing = self._pack(cost)
        self._numbers = count()
        self._waiting: dict[Request, _Waiting] = {}
        # Sorted (when, number), so that equals are first come, first served.
        self._by_urgency: list[tuple[float, int]] = []
        self._by_deadline: list[tuple[float, int]] = []
        self._by_number: dict[int, _Waiting] = {}
        self._num_pairs = 0
        self._backlog_s = 0.0
        self._closed = False

    @property
    def pairs(self) -> int:
        """How many pairs wait."""
        return self._num_pairs

    @property
    def requests(self) -> int:
        """How many requests have pairs that wait."""
        return len(self._waiting)

    @property
    def closed(self) -> bool:
        """Whether the queue takes nothing new."""
        return self._closed

    def backlog_seconds(self) -> float:
        """Predicted seconds until everything that waits now has run."""
        return self._backlog_s

    def cost_seconds(self, lengths: Sequence[int]) -> float:
        """Predicted seconds that pairs of these lengths would add to the backlog."""
        return sum(map(self._packing.share, lengths))

    def run_seconds(self, batch: Batch) -> float:
        """Predicted seconds that this batch runs."""
        return self._packing.seconds(len(batch.pairs), batch.longest)

    def use(self, cost: CostTable) -> None:
        """Cut batches by another cost table from now on: another model is live."""
        self._packing = self._pack(cost)
        self._backlog_s = sum(self.cost_seconds(waiting.lengths) for waiting in self._waiting.values())

    def put(self, request: Request, now: float) -> None:
        """Let all pairs of a request wait; a request is put once. Raises QueueClosed."""
        if self._closed:
            raise QueueClosed
        if not request.pairs:
            return
        waiting = _Waiting(request, min(request.deadline, now + self._patience_s), next(self._numbers))
        self._waiting[request] = waiting
        self._by_number[waiting.number] = waiting
        insort(self._by_urgency, (waiting.urgency, waiting.number))
        insort(self._by_deadline, (request.deadline, waiting.number))
        self._num_pairs += len(waiting.pairs)
        self._backlog_s += self.cost_seconds(waiting.lengths)

    def next_batch(self, now: float) -> Batch | None:
        """The next pairs to run, which no longer wait; None when nothing live does."""
        taken: list[PairWork] = []
        emptied: list[Request] = []
        longest = 0
        for waiting in self._live(now):
            if taken and waiting.request.lane is not taken[0].request.lane:
                continue
            longest = self._fill(taken, longest, waiting)
            if not waiting.pairs:
                emptied.append(waiting.request)
            if len(taken) >= self._packing.room(longest):
                break
        for request in emptied:
            self.discard(request)
        if not taken:
            return None
        self._leave(pair.length for pair in taken)
        return Batch(taken[0].request.lane, tuple(taken), longest)

    def expire(self, now: float) -> list[Request]:
        """Let go of the requests whose deadline has come while pairs of theirs waited; earliest first."""
        expired: list[Request] = []
        while self._by_deadline and self._by_deadline[0][0] <= now:
            request = self._by_number[self._by_deadline[0][1]].request
            self.discard(request)
            expired.append(request)
        return expired

    def discard(self, request: Request) -> int:
        """Let go of what waits of a request; returns how many pairs that was. Unknown requests are fine."""
        waiting = self._waiting.pop(request, None)
        if waiting is None:
            return 0
        del self._by_number[waiting.number]
        _remove(self._by_urgency, (waiting.urgency, waiting.number))
        _remove(self._by_deadline, (request.deadline, waiting.number))
        self._leave(waiting.lengths)
        return len(waiting.pairs)

    def close(self) -> None:
        """Take nothing new; what waits is still handed out."""
        self._closed = True

    def _pack(self, cost: CostTable) -> Packing:
        return Packing(cost, max_batch_tokens=self._max_batch_tokens, max_batch_s=self._max_batch_s)

    def _live(self, now: float) -> Iterator[_Waiting]:
        """The requests that may be handed out, most urgent first; only so many after the first."""
        looked_at = 0
        for _, number in self._by_urgency:
            waiting = self._by_number[number]
            if not waiting.request.departed and now < waiting.request.deadline:
                yield waiting
                looked_at += 1
                if looked_at == _MAX_LOOKED_AT:
                    return

    def _fill(self, taken: list[PairWork], longest: int, waiting: _Waiting) -> int:
        """Move what fits from `waiting` to `taken`, nearest length first; returns the new longest."""
        while (index := self._fitting(len(taken), longest, waiting.lengths)) is not None:
            longest = max(longest, waiting.lengths.pop(index))
            taken.append(waiting.pairs.pop(index))
        return longest

    def _fitting(self, num_taken: int, longest: int, lengths: list[int]) -> int | None:
        """The index of the pair that fits best, or None."""
        if not num_taken or not lengths:
            return len(lengths) - 1 if lengths else None
        above = bisect_right(lengths, longest)
        if (
            above
            and num_taken < self._packing.room(longest)
            and lengths[above - 1] >= self._packing.shortest(num_taken, longest)
        ):
            return above - 1
        if above < len(lengths) and self._packing.may_grow(num_taken, longest, lengths[above]):
            return above
        return None

    def _leave(self, lengths: Iterable[int]) -> None:
        for length in lengths:
            self._num_pairs -= 1
            self._backlog_s -= self._packing.share(length)
        if not self._num_pairs:
            self._backlog_s = 0.0  # What rounding left behind must not pile up.


def _remove(entries: list[tuple[float, int]], entry: tuple[float, int]) -> None:
    del entries[bisect_left(entries, entry)]
