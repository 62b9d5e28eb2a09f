"""Whether a candidate model does as well on live traffic as the live model. Numbers in, one sentence or none out.

Knows no model, no request and no clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

BINS = 100
"""Scores are counted this finely, and compared in few groups: where they lie is known only afterwards."""
GROUPS = 10
RECENT = 500
"""Requests whose times are remembered."""
CHI_SQUARE = 27.88
"""The 99.9th percentile with GROUPS - 1 degrees of freedom: else PSI / (1/N + 1/M) is above it once in 1,000."""


@dataclass
class WindowStats:
    """What one model did: requests, those that failed, seconds on the model, and how often each score came."""

    requests: int = 0
    failed: int = 0
    seconds: float = 0.0
    recent_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    bins: list[int] = field(default_factory=lambda: [0] * BINS)

    def add(self, scores: Iterable[float], seconds: float, *, failed: bool) -> None:
        """Count a request; `scores` lie in [0, 1]."""
        self.requests += 1
        self.failed += failed
        self.seconds += seconds
        self.recent_s.append(seconds)
        for score in scores:
            self.bins[min(BINS - 1, max(0, int(score * BINS)))] += 1

    @property
    def failure_rate(self) -> float:
        """Failed requests among all; 0 of none."""
        return self.failed / self.requests if self.requests else 0.0

    @property
    def most_s(self) -> float:
        """What nine of ten recent requests took at most, in seconds; 0 of none. One stall moves it little."""
        return sorted(self.recent_s)[len(self.recent_s) * 9 // 10] if self.recent_s else 0.0


@dataclass(frozen=True)
class GuardrailLimits:
    """How much worse, or how different, a candidate may be; and how much must be seen before it is judged."""

    failures: float = 0.01
    """Its rate of failed requests above the live model's."""
    slowness: float = 1.5
    """Its seconds on the model, as a multiple of the live model's."""
    slack_s: float = 0.005
    """Slower by less is never too slow: so short runs are mostly noise."""
    drift: float = 0.25
    """PSI of its scores against the live model's."""
    min_requests: int = 100
    min_scores: int = 2000
    """Of each model. At 200 scores PSI reaches 0.25 without any drift; at 2,000 it stays under 0.03."""


def fault_of(live: WindowStats, candidate: WindowStats, tolerance: GuardrailLimits) -> str | None:
    """Why the candidate must go, or None while it does as well or too little was seen."""
    if min(live.requests, candidate.requests) >= tolerance.min_requests:
        if candidate.failure_rate > live.failure_rate + tolerance.failures:
            return f"failed {candidate.failure_rate:.1%} of its requests, the live model {live.failure_rate:.1%}"
        slow_s, usual_s = candidate.most_s, live.most_s
        if slow_s > max(usual_s * tolerance.slowness, usual_s + tolerance.slack_s):
            return f"took up to {slow_s * 1000:.1f} ms a request, the live model {usual_s * 1000:.1f} ms"
    seen = (sum(live.bins), sum(candidate.bins))
    if min(seen) >= tolerance.min_scores:
        found, noise = drift(live.bins, candidate.bins), CHI_SQUARE * (1 / seen[0] + 1 / seen[1])
        if found > max(tolerance.drift, noise):
            return f"scores otherwise than the live model: PSI {found:.2f}, allowed {tolerance.drift:.2f}"
    return None


def drift(live: Sequence[int], candidate: Sequence[int]) -> float:
    """PSI over groups of bins that each hold about a tenth of the live model's scores."""
    groups = even_groups(live, GROUPS)
    return psi([sum(live[a:b]) for a, b in groups], [sum(candidate[a:b]) for a, b in groups])


def even_groups(counts: Sequence[int], num_groups: int) -> list[tuple[int, int]]:
    """Cut bins into at most so many runs [begin, end), each of at least its share of the counts; the last takes the
    rest.
    """
    groups: list[tuple[int, int]] = []
    total, begin, held = sum(counts), 0, 0
    for place, count in enumerate(counts):
        held += count
        if held * num_groups >= total and len(groups) < num_groups - 1:
            groups.append((begin, place + 1))
            begin, held = place + 1, 0
    return [*groups, (begin, len(counts))] if begin < len(counts) else groups


def psi(expected: Sequence[int], found: Sequence[int]) -> float:
    """The population stability index: sum of (q - p) ln(q / p) over groups. An empty group counts as half a score."""
    index = 0.0
    for p, q in zip(_shares(expected), _shares(found), strict=True):
        index += (q - p) * math.log(q / p)
    return index


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [max(count, 0.5) / total for count in counts]
