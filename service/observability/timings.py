"""The time of a request, in stages that add up to its total. The header and the histograms read the same stages."""

from __future__ import annotations

import time
from collections.abc import Callable


class Timings:
    """Laps of one stopwatch, in float seconds. Each begins where the last one ended, so they add up."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._last = clock()
        self.stages: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to `stage`."""
        now = self._clock()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - self._last
        self._last = now

    def split(self, stage: str, part: str, seconds: float) -> None:
        """Move up to `seconds` of a stage to another one, such as the model's part of the time in the engine."""
        moved = min(seconds, self.stages[stage])
        self.stages[stage] -= moved
        self.stages[part] = self.stages.get(part, 0.0) + moved

    @property
    def total(self) -> float:
        return sum(self.stages.values())

    def header(self) -> str:
        """The value of `Server-Timing`: durations in milliseconds."""
        stages = [*self.stages.items(), ("total", self.total)]
        return ", ".join(f"{name};dur={seconds * 1000:.3f}" for name, seconds in stages)
