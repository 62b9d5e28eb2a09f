"""From first breath to last: load in the background, become ready, swap models, drain.

Knows no HTTP but the errors that it raises.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from models.bundle.manifest import Manifest
from models.errors import BundleError
from service.batching.deadline_queue import DeadlineQueue
from service.batching.engine import Engine
from service.batching.jobs import Job
from service.encoding.token_cache import TokenCache
from service.errors import Conflict, NotFound
from service.observability.metrics import Metrics
from service.registry.catalog import find_bundle, installed
from service.registry.loading import LiveModel, load_failure
from service.registry.memory import freeze_objects
from service.rollout.router import Mode, Rollout, RolloutRouter
from service.scoring.pipeline import ScoringPipeline
from service.store.factory import Store

log = logging.getLogger("fitscore")
Load = Callable[[Path], LiveModel]
TryOut = Callable[[Path], None]
Entry = dict[str, object]
Phase = Literal["loading", "ready", "draining", "failed", "dead"]
MAINTAIN_EVERY_S = 30.0
WARM_UP_S = 600.0


class Lifecycle:
    """Owns the phase. `on_failure(sentence)` is called when the first model cannot be loaded; `try_out(bundle)` goes
    before every later load, and raises for a bundle that must not come near the live model; `end_trials()` ends it.
    """

    def __init__(
        self,
        *,
        bundle: Path,
        load: Load,
        try_out: TryOut,
        end_trials: Callable[[], None],
        engine: Engine,
        queue: DeadlineQueue,
        scoring: ScoringPipeline,
        traffic: RolloutRouter,
        metrics: Metrics,
        store: Store,
        cache: TokenCache,
        on_failure: Callable[[str], None],
    ) -> None:
        self._bundle = bundle
        self._load = load
        self._try_out = try_out
        self._end_trials = end_trials
        self._engine = engine
        self._queue = queue
        self._scoring = scoring
        self._traffic = traffic
        self._metrics = metrics
        self._store = store
        self._cache = cache
        self._on_failure = on_failure
        self._phase: Phase = "loading"
        self._previous: LiveModel | None = None  # kept, so that the way back needs no load
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
        self._metrics.runtime.watch_gc()
        duties = (
            self._first_load(),
            self._metrics.runtime.watch_loop(),
            self._maintain_store(),
            self._scoring.ahead.run(),
        )
        self._tasks = [asyncio.create_task(duty) for duty in duties]

    async def _first_load(self) -> None:
        try:
            model = await self._load_warm(self._bundle)
        except Exception as error:  # whatever a bundle makes the runtime raise ends in one sentence
            self._phase = "failed"
            self._on_failure(load_failure(error, self._bundle))
            return
        self._make_live(model)
        if self._phase == "loading":  # told to end meanwhile: it stays not ready
            self._phase = "ready"
        log.info("ready: %s version %s (%s on %s)", model.name, model.version, model.precision, model.device)

    async def _maintain_store(self) -> None:
        while True:
            await asyncio.to_thread(self._store.maintain)
            await asyncio.sleep(MAINTAIN_EVERY_S)

    async def _load_warm(self, path: Path) -> LiveModel:
        """Load beside what is live; what belongs to the model thread runs there between two of its batches."""
        model = await asyncio.to_thread(self._load, path)
        if model.warm_up is not None:
            now = time.monotonic()
            work = Job.of(model.warm_up, [None], [1], arrived=now, deadline=now + WARM_UP_S)
            done = await self._engine.submit(work)
            if list(done.outcomes) != [True]:
                raise BundleError(f"{path} could not be warmed up on the model thread")
        return model

    def _make_live(self, model: LiveModel) -> None:
        self._traffic.end()  # its candidate was compared with another model
        self._scoring.use(model)
        self._metrics.describe(
            name=model.name,
            version=model.version,
            policy=model.policy or "",
            device=model.device,
            precision=model.precision,
        )
        freeze_objects()

    async def list_models(self) -> list[Entry]:
        """Sound bundles in the live bundle's folder, and the live one whatever became of its files."""
        live = self._scoring.model
        manifests = await asyncio.to_thread(installed, self._bundle.parent)
        entries = [self._entry(each) for each in manifests]
        if live is not None and not any(entry["live"] for entry in entries):
            entries.append(self._entry(live))
        return entries

    async def activate(self, version: str) -> Entry:
        """Swap to another version of the live model. Raises NotFound or Conflict; then the old one stays."""
        async with self._swapping:
            live = self._scoring.model
            if live is None:
                raise Conflict("no model is live yet")
            if live.version != version:
                live = self._swap(live, await self._at_hand(live.name, version))
        return self._entry(live)

    async def roll_out(self, version: str, mode: Mode, share: float) -> Entry:
        """Try a version on a share of the traffic; 0 ends that. Raises NotFound or Conflict."""
        async with self._swapping:
            live, rollout = self._scoring.model, self._traffic.rollout
            if live is None or live.version == version:
                raise Conflict("no other model is live that this one could be compared with")
            if share > 0:
                candidate = await self._at_hand(live.name, version)
                if candidate.heads != live.heads:
                    raise Conflict(f"its heads are not those of the live model: {', '.join(live.heads)}")
                self._traffic.begin(Rollout(candidate, mode, share))
            elif rollout is None or rollout.model.version != version:
                raise Conflict("this version is not tried on traffic")
            else:
                candidate = rollout.model
                self._traffic.end()
        return self._entry(candidate)

    async def _at_hand(self, name: str, version: str) -> LiveModel:
        """From memory when it is there."""
        rollout = self._traffic.rollout
        for kept in (self._previous, rollout.model if rollout else None):
            if kept is not None and kept.version == version:
                return kept
        return await self._load_beside(name, version)

    async def roll_back(self, version: str) -> Entry:
        """From this version, the live one, to the one before it, at once. Raises Conflict."""
        async with self._swapping:
            live, previous = self._scoring.model, self._previous
            if live is None or live.version != version:
                raise Conflict("this version is not live")
            if previous is None:
                raise Conflict("no earlier model is at hand")
            live = self._swap(live, previous)
        return self._entry(live)

    def _swap(self, live: LiveModel, candidate: LiveModel) -> LiveModel:
        """What is under way keeps the model that it began with, and lets go of it when it ends."""
        self._make_live(candidate)
        self._previous = live
        log.info("swapped: %s version %s is live", candidate.name, candidate.version)
        return candidate

    async def _load_beside(self, name: str, version: str) -> LiveModel:
        folder = self._bundle.parent
        path = await asyncio.to_thread(find_bundle, folder, name, version)
        if path is None:
            raise NotFound("no bundle of the live model has this version")
        try:
            await asyncio.to_thread(self._try_out, path)
            return await self._load_warm(path)
        except Exception as error:  # as at start; the caller learns no more of the disk than the bundle's own folder
            sentence = load_failure(error, path)
            log.error("activation failed: %s", sentence)
            raise Conflict(f"the live model stays: {sentence.replace(f'{folder}/', '')}") from None

    def refresh_gauges(self) -> None:
        """Set what is read when asked for, not counted when it happens."""
        metrics, cache = self._metrics, self._cache
        metrics.queue_items.set(self._queue.items)
        metrics.ahead_waiting.set(len(self._scoring.ahead))
        metrics.backlog.set(self._scoring.backlog_seconds())
        metrics.alive.set(self._engine.alive)
        hits, misses = cache.hits, cache.misses  # read once: the tokenizer thread goes on counting
        metrics.cache_hits.inc(hits - self._seen_hits)
        metrics.cache_misses.inc(misses - self._seen_misses)
        self._seen_hits, self._seen_misses = hits, misses
        metrics.cache_bytes.set(cache.bytes)

    def drain(self) -> None:
        """Be not ready from now on; what comes is still served, but no model is tried any more."""
        self._phase = "draining"
        self._end_trials()

    async def stop(self) -> None:
        """Finish what waits, then end."""
        self._end_trials()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._started = False
        await self._engine.stop()
        await self._traffic.stop()
        await asyncio.to_thread(self._scoring.close)  # it waits for what is being written
        self._store.close()
        self._metrics.runtime.close()

    def _entry(self, model: LiveModel | Manifest) -> Entry:
        live, rollout = self._scoring.model, self._traffic.rollout
        named = (model.name, model.version)
        tried = rollout is not None and (rollout.model.name, rollout.model.version) == named
        return {
            "name": model.name,
            "version": model.version,
            "policy": model.policy,
            "live": live is not None and (live.name, live.version) == named,
            "rollout": {"mode": rollout.mode, "share": rollout.share} if rollout and tried else None,
        }
