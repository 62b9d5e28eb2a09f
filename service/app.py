"""create_app: every part made once and wired in one visible place."""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from fastapi import FastAPI
from starlette.routing import BaseRoute

from models.bundle.signature import BadSigner, TrustedSigner
from service.admission.controller import Admission
from service.admission.early_rejection import EarlyRejection
from service.admission.quotas import Quotas
from service.batching.deadline_queue import DeadlineQueue
from service.batching.engine import Engine
from service.batching.fault_isolation import Failure
from service.encoding.background import BackgroundEncoder
from service.encoding.lookup import Lookup
from service.encoding.member_cache import MemberCache
from service.encoding.parts import EncodingParts
from service.encoding.single_flight import SingleFlight
from service.encoding.slot_writer import SlotWriter
from service.encoding.token_cache import TokenCache
from service.encoding.tokenization import TextReader, TokenizerThread
from service.http.answers.warnings import Code
from service.http.api_keys import ApiKeys, parse_list, watch
from service.http.connection_limits import CUT_REASONS
from service.http.context import AppContext
from service.http.guard import OPERATIONS, PROBES, RequestGuard
from service.http.header_limits import AllowedHosts
from service.http.prewarm import prewarm
from service.http.problems import Api, add_handlers
from service.http.request_limits import RequestLimits
from service.http.routes import router
from service.lifecycle import Lifecycle
from service.observability.metrics import Metrics
from service.observability.requests import AccessLog, Trace, parent_trace
from service.playground import pages
from service.registry.loading import LiveModel, load_model
from service.registry.memory import freeze_objects
from service.registry.sandbox import SandboxProcesses, load_in_sandbox
from service.registry.swap import CurrentModel, Load, ModelRegistry
from service.registry.warmup import BatchCaps
from service.request import ItemStatus
from service.rollout.metrics import RolloutMetrics
from service.rollout.router import RolloutRouter
from service.scoring.metrics import HeadScores
from service.scoring.pipeline import Score, ScoringPipeline
from service.settings import AuditSettings, BadSetting, ModelSettings, Settings, TracingSettings
from service.store.factory import Store, open_store
from service.store.metrics import StoreMetrics
from service.store.writes import BoundedWriter

if TYPE_CHECKING:
    from service.audit.log import AuditLog
    from service.observability.tracing import Tracing

log = logging.getLogger("fitscore")
MAINTAIN_EVERY_S = 30.0
# The item statuses, failures of model runs, reasons to cut a connection, and codes of warnings, for the metrics.
LABELS = (tuple(ItemStatus), get_args(Failure), CUT_REASONS, get_args(Code))


@dataclass(frozen=True)
class Parts:
    """What is behind HTTP."""

    store: Store
    engine: Engine
    admission: Admission
    current: CurrentModel
    models: ModelRegistry
    encoding: EncodingParts
    router: RolloutRouter
    lifecycle: Lifecycle
    audit: AuditLog | None


@dataclass(frozen=True)
class App:
    """The service and its parts, as two ASGI apps: `guard` for callers, `operations` for probes and metrics alone."""

    guard: RequestGuard
    operations: RequestGuard
    context: AppContext
    parts: Parts


def create_app(settings: Settings, *, load: Load | None = None, on_failure: Callable[[str], None] | None = None) -> App:
    """Make and wire every part. `load` and `on_failure` are for tests and for `__main__`.

    Raises BadSetting for a signer's key or an audit log that cannot be used, StoreDown for a store's folder.
    """
    metrics = Metrics(*LABELS)
    parts = _parts(settings, metrics, load, on_failure or log.error)
    score: Score = parts.router.score
    if parts.audit is not None:
        from service.audit.audited import AuditedScoring

        score = AuditedScoring(score, parts.audit, parts.store.texts).score
    limits, access = settings.limits, settings.access
    quotas = Quotas(pairs_per_s=access.quota_pairs_per_s, burst=access.quota_burst)
    context = AppContext(
        score=score,
        limits=RequestLimits(limits),
        quotas=quotas if access.quota_pairs_per_s else None,
        store=BoundedWriter(parts.store.texts),
        background=parts.encoding.background,
        models=parts.models,
        lifecycle=parts.lifecycle,
        metrics=metrics,
        head_scores=HeadScores(),
    )
    metrics.registry.register(context.head_scores)
    keys = ApiKeys(parse_list(access.api_keys), access.keys_file)
    browsing = pages.is_on(settings.server.playground, settings.server.host)
    tracing = _tracing(settings.tracing)
    closing = [each.close for each in (parts.audit, tracing) if each is not None]
    api = _api(context, keys, closing, pages.routes() if browsing else [])
    guard = functools.partial(
        RequestGuard,
        app=api,
        methods=api.methods,
        limits=limits,
        keys=keys,
        early_rejection=EarlyRejection(parts.admission),
        draining=parts.lifecycle.draining,
        answered=metrics.answered,
        watch=_watch(settings.tracing, tracing),
    )
    hidden = OPERATIONS - PROBES if settings.server.metrics_port else frozenset()
    paths = pages.PATHS if browsing else frozenset[str]()
    callers = guard(hosts=AllowedHosts(access.hosts), hidden=hidden, pages=paths)
    # Prometheus and the kubelet name a pod by its address.
    return App(callers, guard(hosts=AllowedHosts(""), only=OPERATIONS), context, parts)


def _parts(settings: Settings, metrics: Metrics, load: Load | None, on_failure: Callable[[str], None]) -> Parts:
    batching = settings.batching
    store, current, sandbox = open_store(settings.store), CurrentModel(), SandboxProcesses()
    queue = DeadlineQueue(max_overtake_s=batching.patience_ms / 1000)
    engine = Engine(queue, observer=metrics, hang_s=batching.hang_s)
    admission = Admission(settings.limits.max_backlog_s, engine.backlog_seconds, metrics.runtime)
    encoding = _encoding(settings, store, engine, metrics)
    pipeline = ScoringPipeline(current, admission, encoding, engine)
    router = RolloutRouter(pipeline, current, settings.rollout)
    model, caps = settings.model, BatchCaps(batching.max_batch_tokens, batching.max_batch_ms / 1000)
    load = load or functools.partial(load_model, settings=model, caps=caps, signer=_signer(model))
    try_out = functools.partial(load_in_sandbox, settings=model, caps=caps, processes=sandbox)
    models = ModelRegistry(
        current, engine, bundle=model.bundle, load=load, try_out=try_out if model.trial_s else lambda _: None
    )
    current.on_swap(encoding.background.use)
    current.on_swap(functools.partial(_describe, metrics))
    current.on_swap(lambda _: freeze_objects())

    async def close() -> None:
        await router.stop()
        await asyncio.to_thread(encoding.slot_writer.close)
        encoding.tokenizer.close()
        store.close()

    lifecycle = Lifecycle(
        models=models,
        engine=engine,
        duties=(metrics.runtime.watch, encoding.background.run, functools.partial(_maintain, store)),
        end_sandbox=sandbox.end,
        close=close,
        on_failure=on_failure,
    )
    metrics.registry.register(StoreMetrics(store.report))
    metrics.registry.register(RolloutMetrics(router, current))
    metrics.queue_items.set_function(lambda: queue.items)
    metrics.backlog.set_function(engine.backlog_seconds)
    metrics.alive.set_function(lambda: engine.alive)
    metrics.ready.set_function(lambda: lifecycle.phase == "ready")
    audit = _audit(settings.audit, metrics)
    return Parts(store, engine, admission, current, models, encoding, router, lifecycle, audit)


def _encoding(settings: Settings, store: Store, engine: Engine, metrics: Metrics) -> EncodingParts:
    batching = settings.batching
    cache = TokenCache(batching.token_cache_bytes, metrics.tokens_looked_up)
    members = MemberCache(batching.member_cache_bytes)
    texts, tokenizer = TextReader(store.texts, cache, settings.limits.max_text_chars), TokenizerThread(engine)
    lookup = Lookup(texts, members, store.slots)
    slot_writer = SlotWriter(store.slots, failed=lambda: metrics.store_failed("put"))
    background = BackgroundEncoder(
        SingleFlight(engine, slot_writer.keep),
        lookup,
        tokenizer,
        max_candidates=batching.max_ahead,
        dropped=metrics.ahead_dropped.inc,
    )
    metrics.cache_bytes.set_function(lambda: cache.bytes)
    metrics.ahead_waiting.set_function(lambda: background.waiting)
    return EncodingParts(
        engine=engine,
        tokenizer=tokenizer,
        texts=texts,
        lookup=lookup,
        slot_writer=slot_writer,
        members=SingleFlight(engine, members.keep),
        candidates=SingleFlight(engine, slot_writer.keep),
        background=background,
        metrics=metrics,
    )


def _describe(metrics: Metrics, model: LiveModel) -> None:
    named = {"name": model.name, "version": model.version, "policy": model.policy or ""}
    metrics.model.info({**named, "device": model.device, "precision": model.precision})


async def _maintain(store: Store) -> None:
    while True:
        await asyncio.to_thread(store.maintain)
        await asyncio.sleep(MAINTAIN_EVERY_S)


def _signer(settings: ModelSettings) -> TrustedSigner | None:
    try:
        return TrustedSigner.read(settings.signer_file) if settings.signer_file else None
    except BadSigner as error:
        raise BadSetting(f"FITSCORE_SIGNER_FILE: {error}") from None


def _audit(settings: AuditSettings, metrics: Metrics) -> AuditLog | None:
    if settings.folder is None:
        return None
    from service.audit.log import open_log  # imported only where there is a log

    audit = open_log(settings.folder, settings)
    metrics.watch_audit(
        sound=lambda: audit.writable,
        waiting_bytes=lambda: audit.waiting_bytes,
        written=lambda: audit.written,
        dropped=lambda: audit.dropped,
    )
    return audit


def _tracing(settings: TracingSettings) -> Tracing | None:
    if not settings.otlp:
        return None
    try:
        from service.observability.tracing import Tracing  # imported only where traces are sent
    except ImportError:
        raise BadSetting("FITSCORE_OTLP: needs the extra otel, pip install 'fitscore[otel]'") from None
    return Tracing(settings.otlp, settings.trace_share)


def _watch(settings: TracingSettings, tracing: Tracing | None) -> Trace | None:
    """What takes each answered request, or None where nothing does."""
    if settings.access_log == "on":
        return AccessLog(sys.stdout, tracing or parent_trace)
    return tracing


def _api(
    context: AppContext, keys: ApiKeys, closing: Sequence[Callable[[], None]], browsed: Sequence[BaseRoute]
) -> Api:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await prewarm(app)
        await context.lifecycle.start()
        watching = asyncio.create_task(watch(keys))
        yield
        watching.cancel()
        await context.lifecycle.stop()
        for close in closing:
            await asyncio.to_thread(close)

    app = Api(
        routes=[*router.routes, *browsed],  # if they were included, each request would pass two more layers
        telemetry={"tracing": False, "metrics": False, "logs": False},  # it could record texts with an error
        title="Fitscore",
        summary="Scores candidate-member pairs for ranking.",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.context = context
    add_handlers(app)
    return app
