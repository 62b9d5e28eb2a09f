"""The guardrails of a rollout: whether a candidate model does as well on live traffic as the live model.

Knows no model, no request and no clock: numbers in, one sentence or none out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from service.rollout.drift import BINS, drift, noise
from service.settings import RolloutSettings

WINDOW = 500
"""The most recent requests whose times count."""
SLACK_S = 0.005
"""A smaller difference of model times is never too slow: the times of short runs are mostly noise."""


@dataclass
class WindowStats:
    """What one model did: requests, failed ones, seconds on the model, and counts of its scores."""

    requests: int = 0
    failed: int = 0
    seconds: float = 0.0
    recent_s: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    bins: list[int] = field(default_factory=lambda: [0] * BINS)

    def add(self, scores: Iterable[float], seconds: float, *, failed: bool) -> None:
        """Count a request; `scores` are in [0, 1]."""
        self.requests += 1
        self.failed += failed
        self.seconds += seconds
        self.recent_s.append(seconds)
        for score in scores:
            self.bins[min(BINS - 1, max(0, int(score * BINS)))] += 1

    @property
    def failure_rate(self) -> float:
        """The fraction of failed requests; 0.0 without data."""
        return self.failed / self.requests if self.requests else 0.0

    @property
    def p90_s(self) -> float:
        """p90 of recent model times in seconds; 0.0 without data. One stall moves it little."""
        return sorted(self.recent_s)[len(self.recent_s) * 9 // 10] if self.recent_s else 0.0


def fault_of(live: WindowStats, candidate: WindowStats, limits: RolloutSettings) -> str | None:
    """Why the candidate must end; None while it does as well, or while there is too little data."""
    if min(live.requests, candidate.requests) >= limits.min_requests:
        if candidate.failure_rate > live.failure_rate + limits.failures:
            return f"failed {candidate.failure_rate:.1%} of its requests, the live model {live.failure_rate:.1%}"
        slow_s, usual_s = candidate.p90_s, live.p90_s
        if slow_s > max(usual_s * limits.slowness, usual_s + SLACK_S):
            return f"took up to {slow_s * 1000:.1f} ms per request, the live model {usual_s * 1000:.1f} ms"
    num_live, num_candidate = sum(live.bins), sum(candidate.bins)
    if min(num_live, num_candidate) >= limits.min_scores:
        found = drift(live.bins, candidate.bins)
        if found > max(limits.drift, noise(num_live, num_candidate)):
            return f"has other scores than the live model: PSI {found:.2f}, allowed {limits.drift:.2f}"
    return None
