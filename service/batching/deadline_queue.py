"""The waiting items, and how they are cut into batches: deadlines, order and cost.

Pure bookkeeping: no clock (now is an argument), no I/O, no threads, no tensors. Knows operations and lengths, no text.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from service.batching.jobs import Batch, Job, JobItem, Operation
from service.batching.packing import BatchPolicy

# How many jobs one batch looks through for fitting items: cutting stays cheap however long the queue is.
_MAX_JOBS_PER_BATCH = 256


class QueueClosed(Exception):
    """The queue accepts no new jobs: the engine is stopping."""


@dataclass(eq=False, slots=True)
class _Waiting:
    """The waiting items of one job, shortest first."""

    job: Job
    urgency: float
    number: int
    items: list[JobItem]
    lengths: list[int]


@dataclass(slots=True)
class _Backlog:
    """The waiting items of one operation."""

    items: int = 0
    seconds: float = 0.0


class DeadlineQueue:
    """Jobs in order of urgency, cut into batches within the token and time caps of their operation.

    Urgency is the deadline, or arrival plus `max_overtake_s` if that is sooner, fixed when the job is put. So a job is
    overtaken only by jobs that arrived within `max_overtake_s`, apart from its own `priority_penalty_s`. The most
    urgent job decides which operation runs, and its longest item leads the batch. Other items of that operation join,
    its own first, only if the padding stays cheap.
    """

    def __init__(self, *, max_overtake_s: float) -> None:
        self._max_overtake_s = max_overtake_s
        self._numbers = count()
        self._waiting: dict[Job, _Waiting] = {}
        # Sorted; the number comes second, so that equals are first come, first served.
        self._by_urgency: list[tuple[float, int, _Waiting]] = []
        self._by_deadline: list[tuple[float, int, _Waiting]] = []
        self._backlogs: defaultdict[Operation, _Backlog] = defaultdict(_Backlog)
        self.items = 0
        """The number of waiting items."""
        self.closed = False

    @property
    def jobs(self) -> int:
        return len(self._waiting)

    def backlog_seconds(self, now: float) -> float:
        """Predicted seconds until all waiting items have run, each operation with its present correction."""
        seconds = 0.0
        for operation, backlog in self._backlogs.items():
            seconds += backlog.seconds * operation.batch_policy.correction.factor(now)
        return seconds

    def put(self, job: Job) -> None:
        """Add all items of a job; a job is put once. Raises QueueClosed."""
        if self.closed:
            raise QueueClosed
        if not job.items:
            return
        urgency = min(job.deadline, job.arrived + self._max_overtake_s) + job.priority_penalty_s
        items = sorted(job.items, key=lambda item: item.length)
        waiting = _Waiting(job, urgency, next(self._numbers), items, [item.length for item in items])
        self._waiting[job] = waiting
        insort(self._by_urgency, (waiting.urgency, waiting.number, waiting))
        insort(self._by_deadline, (job.deadline, waiting.number, waiting))
        backlog = self._backlogs[job.operation]
        self.items += len(waiting.items)
        backlog.items += len(waiting.items)
        backlog.seconds += job.operation.batch_policy.total_cost(waiting.lengths)

    def next_batch(self, now: float) -> Batch | None:
        """Remove and return the next items to run; None without live ones."""
        taken: list[JobItem] = []
        emptied: list[Job] = []
        longest = 0
        for waiting in self._live(now):
            if taken and waiting.job.operation is not taken[0].job.operation:
                continue
            if taken and len(taken) >= waiting.job.operation.batch_policy.max_items(longest):
                break
            longest = self._fill(taken, longest, waiting)
            if not waiting.items:
                emptied.append(waiting.job)
        for job in emptied:
            self.discard(job)
        if not taken:
            return None
        operation = taken[0].job.operation
        self._leave(operation, [item.length for item in taken])
        return Batch(operation, tuple(taken), longest)

    def expire(self, now: float) -> list[Job]:
        """Remove the jobs whose deadline passed while items of them waited; earliest first."""
        expired: list[Job] = []
        while self._by_deadline and self._by_deadline[0][0] <= now:
            job = self._by_deadline[0][2].job
            self.discard(job)
            expired.append(job)
        return expired

    def discard(self, job: Job) -> int:
        """Remove the waiting items of a job; returns how many there were. An unknown job is fine."""
        waiting = self._waiting.pop(job, None)
        if waiting is None:
            return 0
        _remove(self._by_urgency, waiting.urgency, waiting.number)
        _remove(self._by_deadline, job.deadline, waiting.number)
        if waiting.items:
            self._leave(job.operation, waiting.lengths)
        return len(waiting.items)

    def close(self) -> None:
        """Accept no new jobs; waiting items are still handed out."""
        self.closed = True

    def _live(self, now: float) -> Iterator[_Waiting]:
        """The jobs that may run, most urgent first, at most `_MAX_JOBS_PER_BATCH`."""
        looked_at = 0
        for _, _, waiting in self._by_urgency:
            if not waiting.job.cancelled and now < waiting.job.deadline:
                yield waiting
                looked_at += 1
                if looked_at == _MAX_JOBS_PER_BATCH:
                    return

    def _fill(self, taken: list[JobItem], longest: int, waiting: _Waiting) -> int:
        """Move fitting items from `waiting` to `taken`, nearest length first; returns the new longest."""
        policy = waiting.job.operation.batch_policy
        while (index := _fitting(policy, len(taken), longest, waiting.lengths)) is not None:
            longest = max(longest, waiting.lengths.pop(index))
            taken.append(waiting.items.pop(index))
        return longest

    def _leave(self, operation: Operation, lengths: Sequence[int]) -> None:
        backlog = self._backlogs[operation]
        self.items -= len(lengths)
        backlog.items -= len(lengths)
        if backlog.items:
            backlog.seconds -= operation.batch_policy.total_cost(lengths)
        else:
            del self._backlogs[operation]  # Rounding errors must not add up, nor swapped models stay in memory.


def _fitting(policy: BatchPolicy, num_taken: int, longest: int, lengths: list[int]) -> int | None:
    """The index of the item that fits best, or None."""
    if not num_taken or not lengths:
        return len(lengths) - 1 if lengths else None
    above = bisect_right(lengths, longest)
    if above and num_taken < policy.max_items(longest) and lengths[above - 1] >= policy.min_length(num_taken, longest):
        return above - 1
    if above < len(lengths) and policy.may_grow(num_taken, longest, lengths[above]):
        return above
    return None


def _remove(entries: list[tuple[float, int, _Waiting]], when: float, number: int) -> None:
    del entries[bisect_left(entries, (when, number), key=lambda entry: entry[:2])]
