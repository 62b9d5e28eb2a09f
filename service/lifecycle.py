"""From first breath to last: load in the background, become ready, swap models, drain. Knows no HTTP but its errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from models.errors import BundleError, DeviceError
from service.candidates import CandidateStore, TokenCache
from service.engine import Engine
from service.errors import Conflict, NotFound
from service.metrics import Metrics
from service.models import LiveModel, NotEnoughMemory, Phase, installed, settle_memory
from service.queue import PairQueue
from service.scoring import Scoring

log = logging.getLogger("fitscore")
LOAD_ERRORS = (BundleError, DeviceError, NotEnoughMemory, MemoryError, OSError)
Load = Callable[[Path], LiveModel]


class Lifecycle:
    """Owns the phase. `on_failure(sentence)` is called when the first model cannot be loaded."""

    def __init__(
        self,
        *,
        bundle: Path,
        load: Load,
        engine: Engine,
        queue: PairQueue,
        scoring: Scoring,
        metrics: Metrics,
        store: CandidateStore,
        cache: TokenCache,
        on_failure: Callable[[str], None],
    ) -> None:
        self._bundle = bundle
        self._load = load
        self._engine = engine
        self._queue = queue
        self._scoring = scoring
        self._metrics = metrics
        self._store = store
        self._cache = cache
        self._on_failure = on_failure
        self._phase: Phase = "loading"
        self._swapping = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def phase(self) -> Phase:
        """Where the service is between start and end."""
        return "dead" if self._phase == "ready" and not self._engine.alive else self._phase

    async def start(self) -> None:
        """Begin loading; returns at once, so that probes are answered from the first moment."""
        await self._engine.start()
        self._metrics.watch_gc()
        self._tasks = [asyncio.create_task(self._first_load()), asyncio.create_task(self._metrics.watch_loop())]

    async def _first_load(self) -> None:
        try:
            model = await asyncio.to_thread(self._load, self._bundle)
        except LOAD_ERRORS as error:
            self._phase = "failed"
            self._on_failure(str(error) or type(error).__name__)
            return
        self._make_live(model)
        settle_memory()
        self._phase = "ready"
        log.info("ready: %s version %s (%s on %s)", model.name, model.version, model.precision, model.device)

    def _make_live(self, model: LiveModel) -> None:
        self._scoring.use(model)
        self._metrics.describe(model)

    async def list_models(self) -> list[dict[str, object]]:
        """Sound bundles in the live bundle's folder."""
        live = self._scoring.model
        manifests = (await asyncio.to_thread(installed, self._bundle.parent)).values()
        return [_entry(m.name, m.version, m.policy, live) for m in manifests]

    async def activate(self, version: str) -> dict[str, object]:
        """Swap to another version of the live model. Raises NotFound or Conflict; then the old one stays."""
        async with self._swapping:
            live = self._scoring.model
            if live is None:
                raise Conflict("no model is live yet")
            if live.version != version:
                found = await asyncio.to_thread(installed, self._bundle.parent)
                paths = [path for path, m in found.items() if (m.name, m.version) == (live.name, version)]
                if not paths:
                    raise NotFound("no sound bundle of the live model has this version")
                try:
                    live = await asyncio.to_thread(self._load, paths[0])
                except LOAD_ERRORS as error:
                    log.error("activation failed: %s", error)
                    raise Conflict("the bundle could not be loaded; the live model stays") from None
                self._make_live(live)
        return _entry(live.name, live.version, live.policy, live)

    def refresh_gauges(self) -> None:
        """Set the gauges that are read, not counted."""
        gauges = self._metrics
        gauges.queue_pairs.set(self._queue.pairs)
        gauges.queue_requests.set(self._queue.requests)
        gauges.backlog.set(self._engine.backlog_seconds())
        gauges.alive.set(self._engine.alive)
        gauges.cache_hits.set(self._cache.hits)
        gauges.cache_misses.set(self._cache.misses)
        gauges.cache_bytes.set(self._cache.bytes)
        gauges.store_entries.set(len(self._store))
        gauges.store_bytes.set(self._store.bytes)

    def drain(self) -> None:
        """Be not ready from now on; what comes is still served."""
        self._phase = "draining"

    async def stop(self) -> None:
        """Finish what waits, then end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._engine.stop()
        self._scoring.close()
        self._metrics.close()


def _entry(name: str, version: str, policy: str | None, live: LiveModel | None) -> dict[str, object]:
    is_live = live is not None and (live.name, live.version) == (name, version)
    return {"name": name, "version": version, "policy": policy, "live": is_live}
