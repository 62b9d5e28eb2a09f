"""A quota of pairs per second for each caller, as token buckets. The clock is an argument."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from service.errors import QuotaSpent


@dataclass(slots=True)
class _Bucket:
    pairs: float
    filled: float


class Quotas:
    """One bucket per caller, for the `max_callers` most recent ones; a forgotten caller starts with a full bucket."""

    def __init__(self, *, pairs_per_s: float, burst: int, max_callers: int = 10_000) -> None:
        self._pairs_per_s = pairs_per_s
        self._burst = burst
        self._max_callers = max_callers
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, caller: str, pairs: int, now: float) -> None:
        """Charge a request to its caller, or raise QuotaSpent and charge nothing.

        A request larger than the burst needs a full bucket and leaves a debt, so it is never impossible.
        """
        bucket = self._filled(caller, now)
        missing = min(pairs, self._burst) - bucket.pairs
        if missing > 0:
            raise QuotaSpent(retry_after_s=missing / self._pairs_per_s)
        bucket.pairs -= pairs

    def give_back(self, caller: str, pairs: int, now: float) -> None:
        """Undo the charge of a request that was refused after all."""
        bucket = self._filled(caller, now)
        bucket.pairs = min(self._burst, bucket.pairs + pairs)

    def _filled(self, caller: str, now: float) -> _Bucket:
        bucket = self._buckets.setdefault(caller, _Bucket(self._burst, now))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > self._max_callers:
            self._buckets.popitem(last=False)
        bucket.pairs = min(self._burst, bucket.pairs + (now - bucket.filled) * self._pairs_per_s)
        bucket.filled = now
        return bucket
