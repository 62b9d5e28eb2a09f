"""create_app: every part made once and wired in one visible place."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import get_args

from fastapi import FastAPI

from models.bundle.signature import BadSigner, TrustedSigner
from service.admission.controller import Admission
from service.admission.early_rejection import EarlyRejection
from service.admission.quotas import Quotas
from service.audit.audited import AuditedScoring
from service.audit.log import AuditLog, AuditPlan, open_log
from service.batching.deadline_queue import DeadlineQueue
from service.batching.engine import Engine
from service.batching.fault_isolation import Failure
from service.encoding.lookup import Lookup, MemberCache
from service.encoding.split_inputs import SplitInputs
from service.encoding.token_cache import TokenCache
from service.encoding.tokenization import Texts
from service.http.api_keys import ApiKeys, parse_list, watch
from service.http.connection_limits import CUTS
from service.http.context import AppContext
from service.http.guard import OPERATIONS, PROBES, RequestGuard
from service.http.header_limits import AllowedHosts, HeaderLimits
from service.http.prewarm import prewarm
from service.http.problems import Api, add_handlers
from service.http.request_limits import RequestLimits
from service.http.routes import router
from service.lifecycle import Lifecycle, Load, TryOut
from service.observability.metrics import LabelValues, Metrics
from service.registry.loading import load_model
from service.registry.sandbox import LoadLimits, SandboxProcesses, load_in_sandbox
from service.registry.warmup import BatchCaps
from service.request import ItemStatus
from service.rollout.guardrails import GuardrailLimits
from service.rollout.router import RolloutRouter
from service.scoring.pipeline import Score, ScoringPipeline
from service.settings import BadSetting, Settings
from service.store.factory import Store, open_store
from service.store.metrics import StoreMetrics
from service.store.writes import BoundedWriter

log = logging.getLogger("fitscore")
LABELS = LabelValues(statuses=tuple(status.value for status in ItemStatus), failures=get_args(Failure), cuts=CUTS)


@dataclass(frozen=True)
class App:
    """The service and its parts, as two ASGI apps: `guard` for callers, `operations` for probes and metrics alone."""

    guard: RequestGuard
    operations: RequestGuard
    context: AppContext
    audit: AuditLog | None


def create_app(settings: Settings, *, load: Load | None = None, on_failure: Callable[[str], None] | None = None) -> App:
    """Make and wire every part. `load` and `on_failure` are for tests and for `__main__`.

    Raises BadSetting for a signer's key that cannot be used, StoreDown for a store whose folder cannot be used.
    """
    metrics = Metrics(LABELS)
    store, cache = _store(settings), TokenCache(settings.token_cache_bytes)
    metrics.registry.register(StoreMetrics(store.report))
    queue = DeadlineQueue(max_overtake_s=settings.patience_ms / 1000)
    engine = Engine(queue, observer=metrics, hang_s=settings.hang_s)
    admission = Admission(max_backlog_s=settings.max_backlog_s)
    texts, members = Texts(store.texts, cache), MemberCache(settings.member_cache_bytes)
    lookup = Lookup(texts, members, store.slots)
    split = SplitInputs(engine, lookup, members, store.slots, metrics, max_ahead=settings.max_ahead)
    scoring = ScoringPipeline(engine, admission, texts, split, loop_lag=lambda: metrics.runtime.loop_lag_s)
    traffic = RolloutRouter(scoring, _tolerance(settings))
    metrics.registry.register(traffic)
    trials = SandboxProcesses()
    lifecycle = Lifecycle(
        bundle=settings.bundle,
        load=load or _loader(settings),
        try_out=_trial(settings, trials),
        end_trials=trials.end,
        engine=engine,
        queue=queue,
        scoring=scoring,
        traffic=traffic,
        metrics=metrics,
        store=store,
        cache=cache,
        on_failure=on_failure or log.error,
    )
    audit = _audit(settings, metrics)
    scores: Score = traffic.score
    if audit is not None:
        scores = AuditedScoring(scores, audit, store.texts).score
    context = AppContext(
        scores=scores,
        limits=RequestLimits(settings.max_candidates, settings.max_text_chars, settings.default_deadline_ms / 1000),
        quotas=_quotas(settings),
        store=BoundedWriter(store.texts),
        pipeline=scoring,
        lifecycle=lifecycle,
        rollout=traffic,
        metrics=metrics,
    )
    keys = ApiKeys(parse_list(settings.api_keys), settings.keys_file)
    guard = functools.partial(
        RequestGuard,
        _api(context, keys, audit),
        limits=HeaderLimits(settings.max_body_bytes, settings.max_header_bytes, settings.max_headers),
        hosts=AllowedHosts(settings.hosts),
        keys=keys,
        early_rejection=EarlyRejection(admission, scoring.wait_seconds),
        default_deadline_ms=settings.default_deadline_ms,
        draining=lambda: lifecycle.phase == "draining",
        answered=metrics.answered,
    )
    hidden = OPERATIONS - PROBES if settings.metrics_port else frozenset()
    return App(guard(hidden=hidden), guard(only=OPERATIONS), context, audit)


def _store(settings: Settings) -> Store:
    return open_store(
        settings.store,
        texts_bytes=settings.store_bytes,
        memory_bytes=settings.slots_bytes,
        slots_bytes=settings.slots_file_bytes,
    )


def _loader(settings: Settings) -> Load:
    return functools.partial(
        load_model,
        device=settings.device,
        threads=settings.threads,
        run_mode=settings.gpu_run,
        engines=settings.engines,
        caps=BatchCaps(settings.max_batch_tokens, settings.max_batch_ms / 1000),
        signer=_signer(settings),
    )


def _signer(settings: Settings) -> TrustedSigner | None:
    try:
        return TrustedSigner.read(settings.signer_file) if settings.signer_file else None
    except BadSigner as error:
        raise BadSetting(f"FITSCORE_SIGNER_FILE: {error}") from None


def _trial(settings: Settings, children: SandboxProcesses) -> TryOut:
    trial = LoadLimits(
        device=settings.device,
        threads=settings.threads,
        caps=BatchCaps(settings.max_batch_tokens, settings.max_batch_ms / 1000),
        run_mode=settings.gpu_run,
        engines=settings.engines,
        signer_file=settings.signer_file,
        seconds=settings.trial_s,
        bytes=settings.trial_bytes,
    )
    return functools.partial(load_in_sandbox, trial=trial, children=children) if settings.trial_s else lambda _: None


def _tolerance(settings: Settings) -> GuardrailLimits:
    return GuardrailLimits(
        failures=settings.rollout_failures,
        slowness=settings.rollout_slowness,
        drift=settings.rollout_drift,
        min_requests=settings.rollout_min_requests,
        min_scores=settings.rollout_min_scores,
    )


def _audit(settings: Settings, metrics: Metrics) -> AuditLog | None:
    if settings.audit is None:
        return None
    plan = AuditPlan(
        settings.audit,
        settings.audit_key_file,
        settings.audit_texts == "sealed",
        settings.audit_segment_bytes,
        settings.audit_bytes,
        settings.audit_waiting_bytes,
        settings.audit_when_full,
    )
    audit = open_log(plan)
    metrics.watch_audit(
        sound=lambda: audit.writable,
        waiting_bytes=lambda: audit.waiting_bytes,
        written=lambda: audit.written,
        dropped=lambda: audit.dropped,
    )
    return audit


def _quotas(settings: Settings) -> Quotas | None:
    if settings.quota_pairs_per_s == 0:
        return None
    return Quotas(pairs_per_s=settings.quota_pairs_per_s, burst=settings.quota_burst)


def _api(context: AppContext, keys: ApiKeys, audit: AuditLog | None) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await prewarm(app)
        await context.lifecycle.start()
        watching = asyncio.create_task(watch(keys))
        yield
        watching.cancel()
        await context.lifecycle.stop()
        if audit is not None:
            await asyncio.to_thread(audit.close)

    app = Api(
        routes=router.routes,  # if they were included, each request would pass two more layers
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
