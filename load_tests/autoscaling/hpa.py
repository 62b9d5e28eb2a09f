"""The decision of Kubernetes' HorizontalPodAutoscaler for one metric. Pure: knows no clock and no replica.

Source: kubernetes.io, "Horizontal Pod Autoscaling": desired = ceil(replicas * value / target), nothing within the
tolerance, replicas that start count as 0, the highest recommendation of the window counts when scaling down. Policies
bound how fast the number may change.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

TOLERANCE = 0.1


@dataclass(frozen=True)
class Behaviour:
    """The chart's values. Times are in seconds: `up_percent` in `up_period_s`, `down_pods` in `down_period_s`."""

    least: int = 1
    most: int = 4
    up_percent: float = 100.0
    up_period_s: float = 30.0
    down_pods: int = 1
    down_period_s: float = 60.0
    down_window_s: float = 300.0

    def faster(self, times: float) -> Behaviour:
        """The same with shorter times, for an experiment of minutes instead of an hour."""
        return Behaviour(
            least=self.least,
            most=self.most,
            up_percent=self.up_percent,
            up_period_s=self.up_period_s / times,
            down_pods=self.down_pods,
            down_period_s=self.down_period_s / times,
            down_window_s=self.down_window_s / times,
        )


def recommended(values: Sequence[float], num_starting: int, target: float) -> int:
    """The number of replicas by the formula. `values` are those of the ready ones; without any, nothing changes."""
    total = len(values) + num_starting
    if not values or abs(sum(values) / len(values) / target - 1) <= TOLERANCE:
        return total
    needed = round(sum(values) / target, 9)  # 0.3 / 0.1 is 2.9999999999999996
    if needed > len(values) and needed <= total * (1 + TOLERANCE):
        return total  # those that start count as 0, so they may be enough
    return math.ceil(needed)


@dataclass
class Autoscaler:
    """Bounds the recommendations, as `behavior` of an HPA does."""

    behaviour: Behaviour
    target: float
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)
    _changes: deque[tuple[float, int]] = field(default_factory=deque)

    def decide(self, now: float, values: Sequence[float], num_starting: int) -> int:
        """The number of replicas from now on. `now` is in seconds and does not go back."""
        current = len(values) + num_starting
        if not self._wanted:
            self._wanted.append((now, current))
        wanted = recommended(values, num_starting, self.target)
        window = self.behaviour.down_window_s
        self._wanted.append((now, wanted))
        while self._wanted[0][0] < now - window:
            self._wanted.popleft()
        if wanted < current:
            wanted = min(current, max(number for _, number in self._wanted))
        bounded = max(self.behaviour.least, min(self.behaviour.most, self._within_policies(now, current, wanted)))
        if bounded != current:
            self._changes.append((now, bounded - current))
        return bounded

    def _within_policies(self, now: float, current: int, wanted: int) -> int:
        rules = self.behaviour
        if wanted > current:
            before = current - self._changed(now - rules.up_period_s, up=True)
            return min(wanted, math.ceil(before * (1 + rules.up_percent / 100)))
        before = current - self._changed(now - rules.down_period_s, up=False)
        return max(wanted, before - rules.down_pods)

    def _changed(self, since: float, *, up: bool) -> int:
        """The sum of the changes in one direction after a time."""
        return sum(change for at, change in self._changes if at > since and (change > 0) == up)
