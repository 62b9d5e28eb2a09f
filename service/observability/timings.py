"""The time of a request, in stages that add up to its total. The header and the histograms read the same stages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Timings:
    """Laps of one stopwatch, in float seconds. Each begins where the last one ended, so they add up.

    `last` is when the present lap began, by the same clock.
    """

    clock: Callable[[], float] = time.perf_counter
    last: float = field(default_factory=time.perf_counter)
    stages: dict[str, float] = field(default_factory=dict)

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to `stage`."""
        now = self.clock()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - self.last
        self.last = now

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
