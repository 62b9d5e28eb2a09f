"""How long things take now, in times what was predicted: learnt from what was measured, and soon forgotten.

Pure: now is an argument. Knows nothing of models, batches or requests.
"""

from __future__ import annotations

from collections import deque
from statistics import median

# So many measurements are looked at: a change shows after half of them, and fewer than that are outliers.
LAST = 15
# Below this many the prediction counts for what is missing: one measurement alone is believed by nobody.
FEWEST = 3
# What is older says nothing of now: after a pause the prediction counts again.
SECONDS = 10.0


class LatencyCorrection:
    """The median of the last measured-to-predicted ratios; `usual` where there are none.

    A median, so that a run that happened to wait for a page or a collector moves nothing, however long it took.
    """

    def __init__(self, usual: float = 1.0) -> None:
        self._usual = usual
        self._ratios: deque[tuple[float, float]] = deque(maxlen=LAST)
        self._factor = usual

    def note(self, now: float, *, predicted: float, measured: float) -> None:
        """Something has taken `measured` seconds; what `predicted` counts is the caller's own, if it is not 0."""
        if predicted > 0:
            self._ratios.append((now, measured / predicted))
            self._weigh()

    def factor(self, now: float) -> float:
        """What one predicted second takes."""
        if self._ratios and self._ratios[0][0] < now - SECONDS:
            while self._ratios and self._ratios[0][0] < now - SECONDS:
                self._ratios.popleft()
            self._weigh()
        return self._factor

    def _weigh(self) -> None:
        ratios = [ratio for _, ratio in self._ratios]
        self._factor = median(ratios + [self._usual] * (FEWEST - len(ratios)))
