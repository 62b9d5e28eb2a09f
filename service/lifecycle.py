"""From first breath to last: load in the background, become ready, swap models, drain.

Knows no HTTP but the errors that it raises.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from service.candidates import CandidateStore, TokenCache
from service.engine import Engine
from service.errors import Conflict, NotFound
from service.metrics import Metrics
from service.models import LiveModel, Phase, find_bundle, installed, settle_memory, why
from service.queue import PairQueue
from service.scoring import Scoring

log = logging.getLogger("fitscore")
Load = Callable[[Path], LiveModel]
Entry = dict[str, object]


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
        self._started = False
        self._seen_hits = self._seen_misses = 0
        self._swapping = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def phase(self) -> Phase:
        """Where the service is between start and end."""
        return "dead" if self._started and not self._engine.alive else self._phase

    @property
    def loaded(self) -> bool:
        """Whether a model has ever been live."""
        return self._scoring.model is not None

    async def start(self) -> None:
        """Begin loading; returns at once, so that probes are answered from the first moment."""
        await self._engine.start()
        self._started = True
        self._metrics.watch_gc()
        self._tasks = [asyncio.create_task(self._first_load()), asyncio.create_task(self._metrics.watch_loop())]

    async def _first_load(self) -> None:
        try:
            model = await asyncio.to_thread(self._load, self._bundle)
        except Exception as error:  # whatever a bundle makes the runtime raise ends in one sentence
            self._phase = "failed"
            self._on_failure(why(error, self._bundle))
            return
        self._make_live(model)
        if self._phase == "loading":  # told to end meanwhile: it stays not ready
            self._phase = "ready"
        log.info("ready: %s version %s (%s on %s)", model.name, model.version, model.precision, model.device)

    def _make_live(self, model: LiveModel) -> None:
        self._scoring.use(model)
        self._metrics.describe(model)
        settle_memory()

    async def list_models(self) -> list[Entry]:
        """Sound bundles in the live bundle's folder, and the live one whatever became of its files."""
        live = self._scoring.model
        manifests = await asyncio.to_thread(installed, self._bundle.parent)
        entries = [_entry(m.name, m.version, m.policy, live) for m in manifests]
        if live is not None and not any(entry["live"] for entry in entries):
            entries.append(_entry(live.name, live.version, live.policy, live))
        return entries

    async def activate(self, version: str) -> Entry:
        """Swap to another version of the live model. Raises NotFound or Conflict; then the old one stays."""
        async with self._swapping:
            live = self._scoring.model
            if live is None:
                raise Conflict("no model is live yet")
            if live.version != version:
                live = await self._load_beside(live.name, version)
                self._make_live(live)
                log.info("swapped: %s version %s is live", live.name, live.version)
        return _entry(live.name, live.version, live.policy, live)

    async def _load_beside(self, name: str, version: str) -> LiveModel:
        folder = self._bundle.parent
        path = await asyncio.to_thread(find_bundle, folder, name, version)
        if path is None:
            raise NotFound("no bundle of the live model has this version")
        try:
            return await asyncio.to_thread(self._load, path)
        except Exception as error:  # as at start; the caller learns no more of the disk than the bundle's own folder
            sentence = why(error, path)
            log.error("activation failed: %s", sentence)
            raise Conflict(f"the live model stays: {sentence.replace(f'{folder}/', '')}") from None

    def refresh_gauges(self) -> None:
        """Set what is read when asked for, not counted when it happens."""
        metrics, cache = self._metrics, self._cache
        metrics.queue_pairs.set(self._queue.pairs)
        metrics.queue_requests.set(self._queue.requests)
        metrics.backlog.set(self._scoring.backlog_seconds())
        metrics.alive.set(self._engine.alive)
        hits, misses = cache.hits, cache.misses  # read once: the tokenizer thread goes on counting
        metrics.cache_hits.inc(hits - self._seen_hits)
        metrics.cache_misses.inc(misses - self._seen_misses)
        self._seen_hits, self._seen_misses = hits, misses
        metrics.cache_bytes.set(cache.bytes)
        metrics.store_entries.set(len(self._store))
        metrics.store_bytes.set(self._store.bytes)

    def drain(self) -> None:
        """Be not ready from now on; what comes is still served."""
        self._phase = "draining"

    async def stop(self) -> None:
        """Finish what waits, then end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._started = False
        await self._engine.stop()
        self._scoring.close()
        self._metrics.close()


def _entry(name: str, version: str, policy: str | None, live: LiveModel | None) -> Entry:
    is_live = live is not None and (live.name, live.version) == (name, version)
    return {"name": name, "version": version, "policy": policy, "live": is_live}
