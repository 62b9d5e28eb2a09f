"""How the process itself does: lateness of the event loop and pauses of the garbage collector, in float seconds."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Histogram

INTERVAL_S = 0.1


class RuntimeProbe:
    """Measures while `watch` runs."""

    def __init__(self, registry: CollectorRegistry, buckets: tuple[float, ...]) -> None:
        name, what = "fitscore_gc_pause_seconds", "Duration of garbage collector pauses"
        self._gc_pause = Histogram(name, what, ("generation",), registry=registry, buckets=buckets)
        for generation in "012":
            self._gc_pause.labels(generation)
        name, what = "fitscore_event_loop_lag_seconds", "Delay with which the event loop wakes a sleeping task"
        self._loop_lag = Histogram(name, what, registry=registry, buckets=buckets)
        self._gc_began = 0.0
        self._pauses: deque[tuple[str, float]] = deque(maxlen=1000)
        self.loop_lag_s = 0.0
        """The smaller of the last two delays: one collector pause does not mean that the loop is overloaded."""

    async def watch(self) -> None:
        gc.callbacks.append(self.on_gc)
        try:
            await self._watch_loop()
        finally:
            gc.callbacks.remove(self.on_gc)

    async def _watch_loop(self) -> None:
        previous = 0.0
        while True:
            due = time.perf_counter() + INTERVAL_S
            await asyncio.sleep(INTERVAL_S)
            lag = max(0.0, time.perf_counter() - due)
            self._loop_lag.observe(lag)
            self.loop_lag_s, previous = min(lag, previous), lag
            self.observe_pauses()

    def on_gc(self, phase: str, info: Mapping[str, int]) -> None:
        """A callback for `gc.callbacks`.

        A collection may begin while this very thread holds a metric's lock, so a pause is only queued here.
        """
        if phase == "start":
            self._gc_began = time.perf_counter()
        else:
            self._pauses.append((str(info["generation"]), time.perf_counter() - self._gc_began))

    def observe_pauses(self) -> None:
        """Move the queued pauses into the histogram."""
        while self._pauses:
            generation, seconds = self._pauses.popleft()
            self._gc_pause.labels(generation).observe(seconds)
