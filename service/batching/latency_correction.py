"""An online correction of the latency model: the median of recent ratios of measured to predicted seconds.

Pure: now is an argument. Knows nothing about models, batches or requests.
"""

from __future__ import annotations

from collections import deque
from statistics import median

# The window of measurements: a lasting change shows after half of them, and fewer count as outliers.
WINDOW = 15
# With fewer measurements the default factor fills up the median: one measurement alone changes nothing.
MIN_MEASUREMENTS = 3
# Older measurements are dropped: after a pause the default factor counts again.
MAX_AGE_S = 10.0


class LatencyCorrection:
    """The factor by which recent runs took longer than predicted; `default` without measurements.

    A median, so that one run that waited for a page fault or the garbage collector changes nothing.
    """

    def __init__(self, default: float = 1.0) -> None:
        self._default = default
        self._ratios: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._factor = default

    def note(self, now: float, *, predicted: float, measured: float) -> None:
        """Record one run. A prediction of 0 is ignored."""
        if predicted > 0:
            self._ratios.append((now, measured / predicted))
            self._update()

    def factor(self, now: float) -> float:
        """Seconds per predicted second."""
        if self._ratios and self._ratios[0][0] < now - MAX_AGE_S:
            while self._ratios and self._ratios[0][0] < now - MAX_AGE_S:
                self._ratios.popleft()
            self._update()
        return self._factor

    def _update(self) -> None:
        ratios = [ratio for _, ratio in self._ratios]
        self._factor = median(ratios + [self._default] * (MIN_MEASUREMENTS - len(ratios)))
