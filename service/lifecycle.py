"""Process lifecycle: load the model, become ready, drain, stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from models.errors import BundleError
from service.batching.engine import Engine
from service.registry.swap import ModelRegistry

log = logging.getLogger("fitscore")
Phase = Literal["loading", "ready", "draining", "failed", "dead"]


@dataclass(eq=False, kw_only=True)
class Lifecycle:
    """Owns the phase.

    `models` are loaded one after the other. `duties` run from start to stop. `end_sandbox()` ends the loads that are
    tried in child processes. `close()` comes after the last job. `on_failure(sentence)` is called if a first
    model cannot be loaded.
    """

    models: Sequence[ModelRegistry]
    engine: Engine
    duties: Sequence[Callable[[], Coroutine[Any, Any, None]]]
    end_sandbox: Callable[[], None]
    close: Callable[[], Awaitable[None]]
    on_failure: Callable[[str], None]
    draining: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _phase: Phase = field(default="loading", init=False)
    _started: bool = field(default=False, init=False)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list, init=False)

    @property
    def phase(self) -> Phase:
        return "dead" if self._started and not self.engine.alive else self._phase

    @property
    def loaded(self) -> bool:
        """Whether every first model has been loaded."""
        return all(each.current.live is not None for each in self.models)

    async def start(self) -> None:
        """Begin to load; returns at once, so that probes are answered from the start."""
        await self.engine.start()
        self._started = True
        self._tasks = [asyncio.create_task(duty()) for duty in (self._load, *self.duties)]

    async def _load(self) -> None:
        try:
            loaded = [await each.load_first() for each in self.models]
        except BundleError as error:
            self._phase = "failed"
            self.on_failure(str(error))
            return
        if self._phase == "loading":  # a service that drains meanwhile stays not ready
            self._phase = "ready"
        for model in loaded:
            log.info("ready: %s version %s (%s on %s)", model.name, model.version, model.precision, model.device)

    def drain(self) -> None:
        """Be not ready from now on. Requests are still served, but no further model is tried."""
        self._phase = "draining"
        self.draining.set()
        self.end_sandbox()

    async def stop(self) -> None:
        """Finish the waiting jobs, then end."""
        self.end_sandbox()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._started = False
        await self.engine.stop()
        await self.close()
