"""Process lifecycle: load the model, become ready, drain, stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Literal

from models.errors import BundleError
from service.batching.engine import Engine
from service.registry.swap import ModelRegistry

log = logging.getLogger("fitscore")
Phase = Literal["loading", "ready", "draining", "failed", "dead"]


class Lifecycle:
    """Owns the phase.

    `duties` run from start to stop. `end_sandbox()` ends the loads that are tried in child processes. `close()` comes
    after the last job. `on_failure(sentence)` is called if the first model cannot be loaded.
    """

    def __init__(
        self,
        *,
        models: ModelRegistry,
        engine: Engine,
        duties: Sequence[Callable[[], Coroutine[Any, Any, None]]],
        end_sandbox: Callable[[], None],
        close: Callable[[], Awaitable[None]],
        on_failure: Callable[[str], None],
    ) -> None:
        self._models = models
        self._engine = engine
        self._duties = duties
        self._end_sandbox = end_sandbox
        self._close = close
        self._on_failure = on_failure
        self.draining = asyncio.Event()
        self._phase: Phase = "loading"
        self._started = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def phase(self) -> Phase:
        return "dead" if self._started and not self._engine.alive else self._phase

    @property
    def loaded(self) -> bool:
        """Whether a model has ever been live."""
        return self._models.current.live is not None

    async def start(self) -> None:
        """Begin to load; returns at once, so that probes are answered from the start."""
        await self._engine.start()
        self._started = True
        self._tasks = [asyncio.create_task(duty()) for duty in (self._load, *self._duties)]

    async def _load(self) -> None:
        try:
            model = await self._models.load_first()
        except BundleError as error:
            self._phase = "failed"
            self._on_failure(str(error))
            return
        if self._phase == "loading":  # a service that drains meanwhile stays not ready
            self._phase = "ready"
        log.info("ready: %s version %s (%s on %s)", model.name, model.version, model.precision, model.device)

    def drain(self) -> None:
        """Be not ready from now on. Requests are still served, but no further model is tried."""
        self._phase = "draining"
        self.draining.set()
        self._end_sandbox()

    async def stop(self) -> None:
        """Finish the waiting jobs, then end."""
        self._end_sandbox()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._started = False
        await self._engine.stop()
        await self._close()
