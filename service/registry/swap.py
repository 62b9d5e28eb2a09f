"""Which model is live, and how that changes: load beside it, activate, roll back, roll out on a share of the traffic.

Knows no HTTP but the errors that it raises, and nothing of how a rollout is judged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.bundle.manifest import Manifest
from models.errors import BundleError
from service.batching.engine import Engine
from service.batching.jobs import Job
from service.errors import Conflict, NotFound
from service.registry.catalog import find_bundle, installed
from service.registry.loading import LiveModel, load_failure

log = logging.getLogger("fitscore")
Load = Callable[[Path], LiveModel]
TryOut = Callable[[Path], None]
Mode = Literal["shadow", "canary"]
WARM_UP_S = 600.0


@dataclass(frozen=True, eq=False)
class Rollout:
    """A candidate model on a share of the traffic, in (0, 1]."""

    model: LiveModel
    mode: Mode
    share: float


class CurrentModel:
    """The live model, and the rollout of a candidate beside it. Belongs to the event loop."""

    def __init__(self) -> None:
        self.live: LiveModel | None = None
        self.rollout: Rollout | None = None
        self._before: LiveModel | None = None
        self.fault: str | None = None
        """Why the last rollout was ended by the guardrails."""
        self._on_swap: list[Callable[[LiveModel], object]] = []

    def on_swap(self, callback: Callable[[LiveModel], object]) -> None:
        """Call this with each model that becomes live."""
        self._on_swap.append(callback)

    def swap(self, model: LiveModel) -> None:
        """Score new requests with this model; earlier ones keep the model that they began with."""
        self.rollout = None  # its candidate was compared with another model
        self._before, self.live = self.live, model
        for callback in self._on_swap:
            callback(model)

    @property
    def feature_names(self) -> frozenset[str]:
        """Features that callers may send: those of the live model, of a rollout's, and of the model before."""
        models = (self.live, self._before, self.rollout.model if self.rollout else None)
        return frozenset(name for model in models if model is not None for name in model.features.names)

    def begin(self, rollout: Rollout) -> None:
        """Try a candidate, in place of any other."""
        self.rollout, self.fault = rollout, None

    def end(self, fault: str | None = None) -> None:
        """Score with the live model alone."""
        self.rollout, self.fault = None, fault or self.fault


class ModelRegistry:
    """Loads the versions of one model and makes one of them live. One change at a time.

    `loading` is held while a bundle is loaded: memory is checked for one bundle at a time, whichever model it is of.

    `load` turns a bundle into a model. `try_out` comes before every load but the first, and raises for a bundle that
    must not be loaded beside the live model.
    """

    def __init__(
        self,
        current: CurrentModel,
        engine: Engine,
        *,
        bundle: Path,
        load: Load,
        try_out: TryOut,
        loading: asyncio.Lock,
    ) -> None:
        self.current = current
        self._engine = engine
        self._bundle = bundle
        self._load = load
        self._try_out = try_out
        self._loading = loading
        self._previous: LiveModel | None = None  # kept in memory, so that a rollback needs no load
        self._changing = asyncio.Lock()

    async def load_first(self) -> LiveModel:
        """Load the configured bundle and make it live. Raises BundleError with one sentence."""
        try:
            async with self._loading:
                model = await self._load_warm(self._bundle)
        except Exception as error:  # a bundle can make the runtime raise anything
            raise BundleError(load_failure(error, self._bundle)) from error
        self.current.swap(model)
        return model

    async def versions(self) -> list[LiveModel | Manifest]:
        """The intact bundles beside the first one, and the live model even if its files are gone."""
        found: list[LiveModel | Manifest] = [*await asyncio.to_thread(installed, self._bundle.parent)]
        live = self.current.live
        if live is not None and (live.name, live.version) not in [(each.name, each.version) for each in found]:
            found.append(live)
        return found

    async def activate(self, version: str) -> LiveModel:
        """Make a version of the live model live, as its bundle is now.

        Raises NotFound or Conflict; then nothing changes.
        """
        async with self._changing:
            live = self.current.live
            if live is None:
                raise Conflict("no model is live yet")
            model = await self._at_hand(live.name, version)
            return live if model is live else self._swap(live, model)

    async def at_hand(self, version: str) -> LiveModel:
        """A version, loaded and warm but not live. Raises NotFound or Conflict."""
        async with self._changing:
            live = self.current.live
            if live is None:
                raise Conflict("no model is live yet")
            return await self._at_hand(live.name, version)

    def go_live(self, model: LiveModel) -> None:
        """Make a loaded model live."""
        live = self.current.live
        if live is not None and live is not model:
            self._swap(live, model)

    async def roll_back(self, version: str) -> LiveModel:
        """Replace this version, the live one, by the one before it. Raises Conflict."""
        async with self._changing:
            live, previous = self.current.live, self._previous
            if live is None or live.version != version:
                raise Conflict("this version is not live")
            if previous is None:
                raise Conflict("no earlier model is in memory")
            return self._swap(live, previous)

    async def roll_out(self, version: str, mode: Mode, share: float) -> LiveModel:
        """Try a version on a share of the traffic; a share of 0 ends that. Raises NotFound or Conflict."""
        async with self._changing:
            live, rollout = self.current.live, self.current.rollout
            if live is None or live.version == version:
                raise Conflict("there is no other live model to compare this version with")
            if share > 0:
                candidate = await self._at_hand(live.name, version)
                if candidate.heads != live.heads:
                    raise Conflict(f"its heads are not those of the live model: {', '.join(live.heads)}")
                self.current.begin(Rollout(candidate, mode, share))
                return candidate
            if rollout is None or rollout.model.version != version:
                raise Conflict("this version is not being rolled out")
            self.current.end()
            return rollout.model

    def _swap(self, live: LiveModel, model: LiveModel) -> LiveModel:
        self.current.swap(model)
        self._previous = live
        log.info("swapped: %s version %s is live", model.name, model.version)
        return model

    async def _at_hand(self, name: str, version: str) -> LiveModel:
        """The version from memory, unless its bundle has changed since; else from its bundle."""
        rollout, folder = self.current.rollout, self._bundle.parent
        found = await asyncio.to_thread(find_bundle, folder, name, version)
        for kept in (self.current.live, self._previous, rollout.model if rollout else None):
            if kept is not None and kept.version == version and (found is None or found.digest == kept.digest):
                return kept
        if found is None:
            raise NotFound("no bundle of the live model has this version")
        path = found.path
        try:
            async with self._loading:
                await asyncio.to_thread(self._try_out, path)
                return await self._load_warm(path)
        except Exception as error:  # as above; the caller learns the bundle's own folder, and no more of the disk
            sentence = load_failure(error, path)
            log.error("activation failed: %s", sentence)
            raise Conflict(f"the live model stays: {sentence.replace(f'{folder}/', '')}") from None

    async def _load_warm(self, path: Path) -> LiveModel:
        """Load a bundle in a thread. Its warm-up, if any, runs on the model thread between two batches."""
        model = await asyncio.to_thread(self._load, path)
        if model.warm_up is not None:
            now = time.monotonic()
            job = Job(model.warm_up, [None], [1], arrived=now, deadline=now + WARM_UP_S)
            result = await self._engine.submit(job)
            if list(result.outcomes) != [True]:
                raise BundleError(f"{path} could not be warmed up on the model thread")
        return model
