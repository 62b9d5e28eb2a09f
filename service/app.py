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
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from models.bundle.signature import BadSigner, TrustedSigner
from service.admission.controller import FairShares
from service.admission.early_rejection import EarlyRejection
from service.batching.deadline_queue import DeadlineQueue
from service.batching.engine import Engine
from service.batching.fault_isolation import Failure
from service.encoding.parts import EncodingParts
from service.encoding.tokenization import TokenizerThread
from service.http.answers.warnings import Code
from service.http.api_keys import ApiKeys, parse_list, watch
from service.http.compat.routes import router as compat_router
from service.http.connection_limits import CUT_REASONS
from service.http.context import AppContext
from service.http.guard import METHODS, OPERATIONS, PROBES, RequestGuard
from service.http.header_limits import AllowedHosts
from service.http.prewarm import prewarm
from service.http.problems import Api, add_handlers
from service.http.request_limits import RequestLimits
from service.http.routes import router
from service.lifecycle import Lifecycle
from service.observability.metrics import Metrics
from service.observability.requests import AccessLog, Trace, parent_trace
from service.playground import pages
from service.products.metrics import ProductMetrics
from service.products.product import Products
from service.products.wiring import SharedParts, bundles_by_name, open_products
from service.registry.loading import load_model
from service.registry.sandbox import SandboxProcesses, load_in_sandbox
from service.registry.swap import CurrentModel, Load
from service.registry.warmup import BatchCaps
from service.request import ItemStatus
from service.rollout.metrics import RolloutMetrics
from service.rollout.reference_drift import ReferenceDrift
from service.scoring.metrics import HeadScores
from service.settings import AuditSettings, BadSetting, ModelSettings, Settings, TracingSettings
from service.store.factory import Store, open_store
from service.store.metrics import StoreMetrics

if TYPE_CHECKING:
    from service.audit.log import AuditLog
    from service.observability.tracing import Tracing

log = logging.getLogger("fitscore")
MAINTAIN_EVERY_S = 30.0
# Each run that measures the next model waits at most so long for a moment without live work.
GIVE_WAY_S = 0.1
# Headers that a web page may send, and those of an answer that it may read.
CORS_SENT = ("X-Api-Key", "X-Deadline-Ms", "X-Request-Id", "traceparent")
CORS_READ = ("Retry-After", "Server-Timing", "X-Request-Id", "X-Fitscore-Warnings")
# The item statuses, failures of model runs, reasons to cut a connection, and codes of warnings, for the metrics.
LABELS = (tuple(ItemStatus), get_args(Failure), CUT_REASONS, get_args(Code))


@dataclass(frozen=True)
class Parts:
    """What is behind HTTP."""

    store: Store
    engine: Engine
    products: Products
    lifecycle: Lifecycle
    audit: AuditLog | None

    @property
    def current(self) -> CurrentModel:
        """That of the default product."""
        return self.products.default.models.current

    @property
    def encoding(self) -> EncodingParts:
        """That of the default product."""
        return self.products.default.encoding


@dataclass(frozen=True)
class App:
    """The service and its parts, as two ASGI apps: `guard` for callers, `operations` for probes and metrics alone."""

    guard: ASGIApp
    operations: RequestGuard
    context: AppContext
    parts: Parts


def create_app(settings: Settings, *, load: Load | None = None, on_failure: Callable[[str], None] | None = None) -> App:
    """Make and wire every part. `load` and `on_failure` are for tests and for `__main__`.

    Raises BadSetting for a signer's key or an audit log that cannot be used, StoreDown for a store's folder.
    """
    metrics = Metrics(*LABELS)
    parts = _parts(settings, metrics, load, on_failure or log.error)
    limits, access = settings.limits, settings.access
    several = len(parts.products.names) > 1
    context = AppContext(
        products=parts.products,
        limits=RequestLimits(limits),
        lifecycle=parts.lifecycle,
        metrics=metrics,
        head_scores=HeadScores(by_model=several),
        drift=ReferenceDrift(by_model=several),
    )
    metrics.registry.register(context.head_scores)
    metrics.registry.register(context.drift)
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
        early_rejection=EarlyRejection(
            parts.products.default.admission, products={each.name: each.admission for each in parts.products}
        ),
        draining=parts.lifecycle.draining,
        answered=metrics.answered,
        watch=_watch(settings.tracing, tracing),
        gzip_min_bytes=settings.server.gzip_min_bytes,
    )
    hidden = OPERATIONS - PROBES if settings.server.metrics_port else frozenset()
    paths = pages.PATHS if browsing else frozenset[str]()
    callers = guard(hosts=AllowedHosts(access.hosts), hidden=hidden, pages=paths)
    # Prometheus and the kubelet name a pod by its address.
    return App(_with_cors(callers, access.cors_origins), guard(hosts=AllowedHosts(""), only=OPERATIONS), context, parts)


def _with_cors(guard: RequestGuard, listed: str) -> ASGIApp:
    """The guard for web pages of other origins too, where some are allowed."""
    origins = [each.strip() for each in listed.split(",") if each.strip()]
    if not origins:
        return guard
    methods, sent, read = sorted(METHODS), ("Authorization", "Content-Type", *CORS_SENT), CORS_READ
    return CORSMiddleware(guard, allow_origins=origins, allow_methods=methods, allow_headers=sent, expose_headers=read)


def _parts(settings: Settings, metrics: Metrics, load: Load | None, on_failure: Callable[[str], None]) -> Parts:
    batching, model, sandbox = settings.batching, settings.model, SandboxProcesses()
    bundles = bundles_by_name(model)
    store = open_store(settings.store, products=list(bundles))
    queue = DeadlineQueue(max_overtake_s=batching.patience_ms / 1000)
    engine = Engine(queue, observer=metrics, hang_s=batching.hang_s)
    caps = BatchCaps(batching.max_batch_tokens, batching.max_batch_ms / 1000)
    try_out = functools.partial(load_in_sandbox, settings=model, caps=caps, processes=sandbox)
    shared = SharedParts(
        settings=settings,
        metrics=metrics,
        engine=engine,
        tokenizer=TokenizerThread(engine, inline=settings.store.url == "memory"),
        shares=FairShares(),
        load=load
        or functools.partial(
            load_model,
            settings=model,
            caps=caps,
            signer=_signer(model),
            give_way=functools.partial(engine.wait_for_rest, GIVE_WAY_S),
        ),
        try_out=try_out if model.trial_s else lambda _: None,
        audit=_audit(settings.audit, metrics),
    )
    products = Products(open_products(shared, bundles, store.shelves))

    async def close() -> None:
        for product in products:
            await product.router.stop()
            await product.filling.close()
            await asyncio.to_thread(product.encoding.slot_writer.close)
        shared.tokenizer.close()
        store.close()

    encoders = [product.encoding.background for product in products]
    lifecycle = Lifecycle(
        models=[product.models for product in products],
        engine=engine,
        duties=(metrics.runtime.watch, *(each.run for each in encoders), functools.partial(_maintain, store)),
        end_sandbox=sandbox.end,
        close=close,
        on_failure=on_failure,
    )
    metrics.registry.register(StoreMetrics(store.report))
    metrics.registry.register(RolloutMetrics([product.router for product in products]))
    metrics.registry.register(ProductMetrics(products))
    metrics.cache_bytes.set_function(lambda: sum(each.encoding.token_cache.bytes for each in products))
    metrics.ahead_waiting.set_function(lambda: sum(each.waiting for each in encoders))
    metrics.queue_items.set_function(lambda: queue.items)
    metrics.backlog.set_function(engine.backlog_seconds)
    metrics.alive.set_function(lambda: engine.alive)
    metrics.ready.set_function(lambda: lifecycle.phase == "ready")
    return Parts(store, engine, products, lifecycle, shared.audit)


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
        # If routers were included, each request would pass two more layers.
        routes=[*router.routes, *compat_router.routes, *browsed],
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
