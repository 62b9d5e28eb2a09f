"""The items that wait, and how they are cut into batches: deadlines, order and cost.

Pure bookkeeping: no clock (now is an argument), no I/O, no threads, no tensors. Knows lanes and lengths, never text.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from service.batching.jobs import Batch, Job, JobItem, Operation
from service.batching.latency_model import BatchPolicy

# How much work one batch looks through for items that fit: cutting stays cheap however much waits.
_MAX_LOOKED_AT = 256


class QueueClosed(Exception):
    """The queue takes nothing new: the engine is stopping."""


class _Waiting:
    """The items of one piece of work that wait, shortest first."""

    __slots__ = ("items", "lengths", "number", "urgency", "work")

    def __init__(self, work: Job, urgency: float, number: int) -> None:
        self.work = work
        self.urgency = urgency
        self.number = number
        self.items = sorted(work.items, key=lambda item: item.length)
        self.lengths = [item.length for item in self.items]


@dataclass(slots=True)
class _Backlog:
    """What waits of one lane."""

    items: int = 0
    seconds: float = 0.0


class DeadlineQueue:
    """Work in order of urgency, cut into batches that keep to the token and time caps of their lane.

    Urgency is the deadline, or arrival plus `patience_s` where that is sooner, fixed when the work is put: it is
    overtaken only by what arrived within its patience, unless it stands behind (`Job.behind_s`). The most urgent work
    says which lane runs and leads the batch with its longest item; other items of that lane join, its own first, only
    where padding stays cheap.
    """

    def __init__(self, *, patience_s: float) -> None:
        self._patience_s = patience_s
        self._numbers = count()
        self._waiting: dict[Job, _Waiting] = {}
        # Sorted (when, number), so that equals are first come, first served.
        self._by_urgency: list[tuple[float, int]] = []
        self._by_deadline: list[tuple[float, int]] = []
        self._by_number: dict[int, _Waiting] = {}
        self._num_items = 0
        self._backlogs: defaultdict[Operation, _Backlog] = defaultdict(_Backlog)
        self._closed = False

    @property
    def items(self) -> int:
        """How many items wait."""
        return self._num_items

    @property
    def works(self) -> int:
        """How many pieces of work have items that wait."""
        return len(self._waiting)

    @property
    def closed(self) -> bool:
        """Whether the queue takes nothing new."""
        return self._closed

    def backlog_seconds(self, now: float) -> float:
        """Predicted seconds until everything that waits now has run, each lane at its present pace."""
        return sum(backlog.seconds * lane.packing.pace.factor(now) for lane, backlog in self._backlogs.items())

    def put(self, work: Job) -> None:
        """Let all items wait; work is put once. Raises QueueClosed."""
        if self._closed:
            raise QueueClosed
        if not work.items:
            return
        urgency = min(work.deadline, work.arrived + self._patience_s) + work.behind_s
        waiting = _Waiting(work, urgency, next(self._numbers))
        self._waiting[work] = waiting
        self._by_number[waiting.number] = waiting
        insort(self._by_urgency, (waiting.urgency, waiting.number))
        insort(self._by_deadline, (work.deadline, waiting.number))
        backlog = self._backlogs[work.lane]
        self._num_items += len(waiting.items)
        backlog.items += len(waiting.items)
        backlog.seconds += work.lane.packing.total(waiting.lengths)

    def next_batch(self, now: float) -> Batch | None:
        """The next items to run, which no longer wait; None when nothing live does."""
        taken: list[JobItem] = []
        emptied: list[Job] = []
        longest = 0
        for waiting in self._live(now):
            if taken and waiting.work.lane is not taken[0].work.lane:
                continue
            longest = self._fill(taken, longest, waiting)
            if not waiting.items:
                emptied.append(waiting.work)
            if len(taken) >= waiting.work.lane.packing.room(longest):
                break
        for work in emptied:
            self.discard(work)
        if not taken:
            return None
        lane = taken[0].work.lane
        self._leave(lane, [item.length for item in taken])
        return Batch(lane, tuple(taken), longest)

    def expire(self, now: float) -> list[Job]:
        """Let go of the work whose deadline has come while items of it waited; earliest first."""
        expired: list[Job] = []
        while self._by_deadline and self._by_deadline[0][0] <= now:
            work = self._by_number[self._by_deadline[0][1]].work
            self.discard(work)
            expired.append(work)
        return expired

    def discard(self, work: Job) -> int:
        """Let go of what waits of some work; returns how many items that was. Unknown work is fine."""
        waiting = self._waiting.pop(work, None)
        if waiting is None:
            return 0
        del self._by_number[waiting.number]
        _remove(self._by_urgency, (waiting.urgency, waiting.number))
        _remove(self._by_deadline, (work.deadline, waiting.number))
        self._leave(work.lane, waiting.lengths)
        return len(waiting.items)

    def close(self) -> None:
        """Take nothing new; what waits is still handed out."""
        self._closed = True

    def _live(self, now: float) -> Iterator[_Waiting]:
        """The work that may be handed out, most urgent first; only so much after the first."""
        looked_at = 0
        for _, number in self._by_urgency:
            waiting = self._by_number[number]
            if not waiting.work.departed and now < waiting.work.deadline:
                yield waiting
                looked_at += 1
                if looked_at == _MAX_LOOKED_AT:
                    return

    def _fill(self, taken: list[JobItem], longest: int, waiting: _Waiting) -> int:
        """Move what fits from `waiting` to `taken`, nearest length first; returns the new longest."""
        packing = waiting.work.lane.packing
        while (index := _fitting(packing, len(taken), longest, waiting.lengths)) is not None:
            longest = max(longest, waiting.lengths.pop(index))
            taken.append(waiting.items.pop(index))
        return longest

    def _leave(self, lane: Operation, lengths: Iterable[int]) -> None:
        backlog = self._backlogs[lane]
        for length in lengths:
            self._num_items -= 1
            backlog.items -= 1
            backlog.seconds -= lane.packing.share(length)
        if not backlog.items:
            del self._backlogs[lane]  # What rounding left behind must not pile up, nor must models that are gone.


def _fitting(packing: BatchPolicy, num_taken: int, longest: int, lengths: list[int]) -> int | None:
    """The index of the item that fits best, or None."""
    if not num_taken or not lengths:
        return len(lengths) - 1 if lengths else None
    above = bisect_right(lengths, longest)
    if above and num_taken < packing.room(longest) and lengths[above - 1] >= packing.shortest(num_taken, longest):
        return above - 1
    if above < len(lengths) and packing.may_grow(num_taken, longest, lengths[above]):
        return above
    return None


def _remove(entries: list[tuple[float, int]], entry: tuple[float, int]) -> None:
    del entries[bisect_left(entries, entry)]
