"""What the service counts and times, in Prometheus' terms. Every label stands from the start, so no panel is ever empty.

Times are float seconds. No label comes from a request's content.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from service.models import LiveModel
from service.runs import Failure
from service.work import Batch, PairStatus

SECONDS = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10,
)  # fmt: skip
PAIRS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
STAGES = ("read", "parse", "tokenize", "admit", "queue", "model", "answer")
ROUTES = ("/score", "/rerank", "/candidates", "/v1/models", "probe", "/metrics", "other")
OUTCOMES = ("ok", "partial", "invalid", "refused", "overload", "deadline", "cancelled", "error")
LOOP_LAG_EVERY_S = 0.1


class Metrics:
    """One registry for one process; also the engine's observer."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        new: dict[str, CollectorRegistry] = {"registry": self.registry}
        self.requests = Counter("fitscore_requests", "Requests", ["route", "outcome"], **new)
        self.duration = Histogram(
            "fitscore_request_duration_seconds", "Request, body read to answer made", ["route"], buckets=SECONDS, **new
        )
        self.stages = Histogram(
            "fitscore_stage_duration_seconds", "Stages of scoring requests", ["stage"], buckets=SECONDS, **new
        )
        self.request_pairs = Histogram("fitscore_request_pairs", "Candidates of a request", buckets=PAIRS, **new)
        self.pairs = Counter("fitscore_pairs", "Candidates by what became of them", ["status"], **new)
        self.batch_pairs = Histogram("fitscore_batch_pairs", "Pairs of a batch", buckets=PAIRS, **new)
        self.batch_seconds = Histogram("fitscore_batch_duration_seconds", "One model run", buckets=SECONDS, **new)
        ratios = [step / 20 for step in range(1, 21)]
        self.padding = Histogram("fitscore_batch_padding_ratio", "Padding among a batch's tokens", buckets=ratios, **new)
        self.queue_pairs = Gauge("fitscore_queue_pairs", "Pairs that wait", **new)
        self.queue_requests = Gauge("fitscore_queue_requests", "Requests that wait", **new)
        self.backlog = Gauge("fitscore_backlog_seconds", "Predicted seconds of accepted work", **new)
        self.expired = Counter("fitscore_expired_pairs", "Pairs whose deadline came before a score", **new)
        self.departed = Counter("fitscore_departed_pairs", "Pairs let go unrun, their client gone", **new)
        self.failures = Counter("fitscore_run_failures", "Model runs that failed", ["kind"], **new)
        self.cache_hits = Gauge("fitscore_token_cache_hits", "Candidate texts found tokenised", **new)
        self.cache_misses = Gauge("fitscore_token_cache_misses", "Candidate texts tokenised", **new)
        self.cache_bytes = Gauge("fitscore_token_cache_bytes", "Bytes of cached token ids", **new)
        self.store_entries = Gauge("fitscore_candidate_store_entries", "Candidates stored", **new)
        self.store_bytes = Gauge("fitscore_candidate_store_bytes", "Bytes of stored candidates", **new)
        self.alive = Gauge("fitscore_engine_alive", "1 while the model thread is sound", **new)
        self.gc_pause = Histogram(
            "fitscore_gc_pause_seconds", "Garbage collector pauses", ["generation"], buckets=SECONDS, **new
        )
        self.loop_lag = Histogram("fitscore_event_loop_lag_seconds", "Lateness of the event loop", buckets=SECONDS, **new)
        self.model = Info("fitscore_model", "The live model", **new)
        self._register_labels()
        self._gc_began = 0.0

    def _register_labels(self) -> None:
        for route in ROUTES:
            self.duration.labels(route)
            for outcome in OUTCOMES:
                self.requests.labels(route, outcome)
        for stage in STAGES:
            self.stages.labels(stage)
        for status in PairStatus:
            self.pairs.labels(status.value)
        for kind in get_args(Failure):
            self.failures.labels(kind)
        for generation in range(3):
            self.gc_pause.labels(str(generation))

    def batch_done(self, batch: Batch, seconds: float) -> None:
        """See `engine.Observer`."""
        self.batch_pairs.observe(len(batch.pairs))
        self.batch_seconds.observe(seconds)
        self.padding.observe(batch.padding_ratio)

    def pairs_expired(self, num_pairs: int) -> None:
        """See `engine.Observer`."""
        self.expired.inc(num_pairs)

    def pairs_departed(self, num_pairs: int) -> None:
        """See `engine.Observer`."""
        self.departed.inc(num_pairs)

    def run_failed(self, kind: Failure) -> None:
        """See `engine.Observer`."""
        self.failures.labels(kind).inc()

    def scored(self, statuses: list[PairStatus], stages: Mapping[str, float]) -> None:
        """Count a scoring request's candidates and observe its stages."""
        self.request_pairs.observe(len(statuses))
        for status in PairStatus:
            if count := statuses.count(status):
                self.pairs.labels(status.value).inc(count)
        for stage, seconds in stages.items():
            self.stages.labels(stage).observe(seconds)

    def describe(self, model: LiveModel) -> None:
        """Say which model is live."""
        described = {"name": model.name, "version": model.version, "policy": model.policy or ""}
        self.model.info({**described, "device": model.device, "precision": model.precision})

    def on_gc(self, phase: str, info: Mapping[str, int]) -> None:
        """A callback for `gc.callbacks`: time each pause."""
        if phase == "start":
            self._gc_began = time.perf_counter()
        else:
            self.gc_pause.labels(str(info["generation"])).observe(time.perf_counter() - self._gc_began)

    async def watch_loop(self) -> None:
        """Observe for ever how late the event loop wakes a sleeper."""
        while True:
            due = time.perf_counter() + LOOP_LAG_EVERY_S
            await asyncio.sleep(LOOP_LAG_EVERY_S)
            self.loop_lag.observe(max(0.0, time.perf_counter() - due))

    def watch_gc(self) -> None:
        """Time the collector's pauses from now on."""
        gc.callbacks.append(self.on_gc)

    def close(self) -> None:
        """Stop timing the collector."""
        if self.on_gc in gc.callbacks:
            gc.callbacks.remove(self.on_gc)

    def render(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self.registry)
