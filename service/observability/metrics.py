"""What the service counts and times, in Prometheus' terms. Every label stands from the start.

Times are float seconds. No label comes from a request's content.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from models.scorers.split import MemberState
from service.audit.log import AuditLog
from service.batching.fault_isolation import Failure
from service.encoding.lookup import LookupResult
from service.http.connection_limits import CUTS, Cut
from service.registry.loading import LiveModel
from service.request import ItemStatus

SECONDS = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10,
)  # fmt: skip
PAIRS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
RATIOS = tuple(step / 20 for step in range(1, 21))
STAGES = ("read", "parse", "admit", "tokenize", "lookup", "encode", "queue", "model", "answer")
LANES = ("pair", "member", "candidate", "ahead", "score")
ROUTES = ("/score", "/rerank", "/candidates", "/v1/models", "probe", "/metrics", "other")
OUTCOMES = ("ok", "partial", "invalid", "refused", "overload", "deadline", "cancelled", "error")
LOOP_LAG_EVERY_S = 0.1


class Metrics:
    """One registry for one process; also the engine's observer."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._name_requests()
        self._name_model_runs()
        self._name_state()
        self._register_labels()
        self._gc_began = 0.0
        self.loop_lag_s = 0.0
        self._pauses: deque[tuple[str, float]] = deque(maxlen=1000)

    def _name_requests(self) -> None:
        self.requests = self._counter("requests", "Requests", "route", "outcome")
        self.duration = self._histogram("request_duration_seconds", "First byte to answer", SECONDS, "route")
        self.stages = self._histogram("stage_duration_seconds", "Stages of scoring", SECONDS, "stage")
        self.request_pairs = self._histogram("request_pairs", "Candidates of a request", PAIRS)
        self.pairs = self._counter("pairs", "Candidates by what became of them", "status")

        self.cuts = self._counter("connections_cut", "Connections that were ended by the service", "reason")

    def _name_model_runs(self) -> None:
        self.batch_items = self._histogram("batch_items", "Items of a batch", PAIRS, "lane")
        self.batch_seconds = self._histogram("batch_duration_seconds", "One batch on the model", SECONDS, "lane")
        self.padding = self._histogram("batch_padding_ratio", "Padding in what a batch computes", RATIOS, "lane")
        self.expired = self._counter("expired_items", "Items whose deadline came before their result", "lane")
        self.departed = self._counter("departed_items", "Items let go unrun, their client gone", "lane")
        self.run_errors = self._counter("session_run_errors", "Model runs that failed", "kind")
        self.alive = self._gauge("engine_alive", "1 while the model thread is sound")
        self.model = Info("fitscore_model", "The live model", registry=self.registry)

    def _name_state(self) -> None:
        self.queue_items = self._gauge("queue_items", "Items that wait: pairs, texts or blocks")
        self.backlog = self._gauge("backlog_seconds", "Predicted seconds of accepted work")
        self.cache_hits = self._counter("token_cache_hits", "Candidate texts found tokenised")
        self.cache_misses = self._counter("token_cache_misses", "Candidate texts tokenised")
        self.cache_bytes = self._gauge("token_cache_bytes", "Bytes of cached token ids")
        self.slots = self._counter("slot_lookups", "Candidates' slots looked up", "result")
        self.members = self._counter("member_lookups", "Members' states looked up", "result")
        self.store_errors = self._counter("slot_store_errors", "Times that the slot store failed", "call")
        self.ahead_waiting = self._gauge("ahead_waiting", "Candidates that wait to be encoded at leisure")
        self.ahead_dropped = self._counter("ahead_dropped", "Candidates that could not wait: too many did")
        self.gc_pause = self._histogram("gc_pause_seconds", "Collector pauses", SECONDS, "generation")
        self.loop_lag = self._histogram("event_loop_lag_seconds", "Lateness of the event loop", SECONDS)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"fitscore_{name}", what, labels, registry=self.registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"fitscore_{name}", what, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"fitscore_{name}", what, labels, registry=self.registry, buckets=buckets)

    def _register_labels(self) -> None:
        for route in ROUTES:
            self.duration.labels(route)
            for outcome in OUTCOMES:
                self.requests.labels(route, outcome)
        by_lane = (self.batch_items, self.batch_seconds, self.padding, self.expired, self.departed)
        labelled: list[tuple[Counter | Histogram, Iterable[str]]] = [
            *((each, LANES) for each in by_lane),
            (self.stages, STAGES),
            (self.pairs, [status.value for status in ItemStatus]),
            (self.run_errors, get_args(Failure)),
            (self.slots, ("hit", "miss")),
            (self.members, ("hit", "miss")),
            (self.store_errors, ("get", "put")),
            (self.cuts, CUTS),
            (self.gc_pause, "012"),
        ]
        for series, labels in labelled:
            for label in labels:
                series.labels(label)

    def batch_done(self, operation: str, num_items: int, padding_ratio: float, seconds: float) -> None:
        """See `engine.Observer`."""
        self.batch_items.labels(operation).observe(num_items)
        self.batch_seconds.labels(operation).observe(seconds)
        self.padding.labels(operation).observe(padding_ratio)

    def items_expired(self, operation: str, num_items: int) -> None:
        """See `engine.Observer`."""
        self.expired.labels(operation).inc(num_items)

    def items_cancelled(self, operation: str, num_items: int) -> None:
        """See `engine.Observer`."""
        self.departed.labels(operation).inc(num_items)

    def run_failed(self, kind: Failure) -> None:
        """See `engine.Observer`."""
        self.run_errors.labels(kind).inc()

    def looked_up(self, found: LookupResult) -> None:
        """Count what was known of an order's member and candidates."""
        misses = sum(key in found.missing for key in found.keys)
        self.slots.labels("miss").inc(misses)
        self.slots.labels("hit").inc(len(found.keys) - misses)
        self.members.labels("hit" if isinstance(found.member, MemberState) else "miss").inc()
        if found.store_failed:
            self.store_errors.labels("get").inc()

    def answered(self, route: str, outcome: str, seconds: float) -> None:
        """Count a request and observe how long it took."""
        self.requests.labels(route, outcome).inc()
        self.duration.labels(route).observe(seconds)

    def connection_cut(self, reason: Cut) -> None:
        """Count a connection that did not end by itself."""
        self.cuts.labels(reason).inc()

    def scored(self, statuses: Sequence[ItemStatus], stages: Mapping[str, float]) -> None:
        """Count a scoring request's candidates and observe its stages."""
        self.request_pairs.observe(len(statuses))
        for status in ItemStatus:
            if count := statuses.count(status):
                self.pairs.labels(status.value).inc(count)
        for stage, seconds in stages.items():
            self.stages.labels(stage).observe(seconds)

    def watch_audit(self, audit: AuditLog) -> None:
        """Show how the audit log does, read whenever it is asked for."""
        self._gauge("audit_sound", "1 while the audit log can be written").set_function(lambda: audit.writable)
        self._gauge("audit_waiting_bytes", "Bytes that wait to be written").set_function(lambda: audit.waiting_bytes)
        self._gauge("audit_written", "Records written since start").set_function(lambda: audit.written)
        self._gauge("audit_dropped", "Records lost since start").set_function(lambda: audit.dropped)

    def describe(self, model: LiveModel) -> None:
        """Say which model is live."""
        described = {"name": model.name, "version": model.version, "policy": model.policy or ""}
        self.model.info({**described, "device": model.device, "precision": model.precision})

    def on_gc(self, phase: str, info: Mapping[str, int]) -> None:
        """A callback for `gc.callbacks`: time each pause.

        A collection may begin while this very thread holds a metric's lock, so the pause is only noted here, and
        observed by `watch_loop`.
        """
        if phase == "start":
            self._gc_began = time.perf_counter()
        else:
            self._pauses.append((str(info["generation"]), time.perf_counter() - self._gc_began))

    async def watch_loop(self) -> None:
        """Observe for ever how late the event loop wakes a sleeper.

        `loop_lag_s` is the lesser of the last two: one pause of the collector is not a loop that can't keep up.
        """
        previous = 0.0
        while True:
            due = time.perf_counter() + LOOP_LAG_EVERY_S
            await asyncio.sleep(LOOP_LAG_EVERY_S)
            lag = max(0.0, time.perf_counter() - due)
            self.loop_lag.observe(lag)
            self.loop_lag_s, previous = min(lag, previous), lag
            self._observe_pauses()

    def watch_gc(self) -> None:
        """Time the collector's pauses from now on."""
        gc.callbacks.append(self.on_gc)

    def close(self) -> None:
        """Stop timing the collector."""
        if self.on_gc in gc.callbacks:
            gc.callbacks.remove(self.on_gc)

    def render(self) -> bytes:
        """The exposition in Prometheus' text format."""
        self._observe_pauses()
        return generate_latest(self.registry)

    def _observe_pauses(self) -> None:
        while self._pauses:
            generation, seconds = self._pauses.popleft()
            self.gc_pause.labels(generation).observe(seconds)
