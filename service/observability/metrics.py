"""The Prometheus metrics of the service. Takes numbers and strings; knows none of the parts that it measures.

Times are float seconds. Every label value exists from the start, and none comes from the content of a request.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import Metric

from service.observability.runtime import RuntimeProbe

SECONDS = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10,
)  # fmt: skip
PAIRS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
RATIOS = tuple(step / 20 for step in range(1, 21))
STAGES = ("read", "parse", "admit", "tokenize", "lookup", "encode", "queue", "model", "answer")
OPERATIONS = ("pair", "member", "candidate", "ahead", "score")
ROUTES = ("/score", "/rerank", "/candidates", "/v1/models", "probe", "/metrics", "other")
SIDES = ("member", "candidate")
PARTS = ("read", "cut", "unknown")
OUTCOMES = ("ok", "partial", "invalid", "refused", "overload", "unavailable", "deadline", "cancelled", "error")

Series = TypeVar("Series", Counter, Histogram)
AUDIT = {
    "sound": "1 while the audit log can be written",
    "waiting_bytes": "Bytes in the audit log's write queue",
    "written": "Audit records written since start",
    "dropped": "Audit records lost since start",
}


class _Registry(CollectorRegistry):
    def collect(self) -> Iterator[Metric]:
        """Without a `_created` series for each counter and histogram: Prometheus does not use them in this format."""
        for metric in super().collect():
            metric.samples = [each for each in metric.samples if not each.name.endswith("_created")]
            yield metric


class Metrics:
    """All series of one process, in a registry of their own.

    Other rooms define the item statuses, the failures of model runs, the reasons to cut a connection, and the codes of
    warnings.
    """

    def __init__(
        self,
        statuses: Sequence[str] = (),
        failures: Sequence[str] = (),
        cuts: Sequence[str] = (),
        warnings: Sequence[str] = (),
    ) -> None:
        self.registry: CollectorRegistry = _Registry()
        self._name_requests(statuses, cuts)
        self._name_texts(warnings)
        self._name_model_runs(failures)
        self._name_state()
        ProcessCollector(registry=self.registry)
        self.runtime = RuntimeProbe(self.registry, SECONDS)

    def _name_requests(self, statuses: Sequence[str], cuts: Sequence[str]) -> None:
        self.requests = self._counter("requests", "Requests by route and outcome", route=ROUTES, outcome=OUTCOMES)
        self.duration = self._histogram(
            "request_duration_seconds", "Time from a request's head to the end of its response", SECONDS, route=ROUTES
        )
        self.stages = self._histogram("stage_duration_seconds", "Time in each stage of scoring", SECONDS, stage=STAGES)
        self.request_pairs = self._histogram("request_pairs", "Candidates per scoring request", PAIRS)
        self.pairs = self._counter("pairs", "Candidates by status", status=statuses)
        self.cuts = self._counter("connections_cut", "Connections closed by the service, by reason", reason=cuts)

    def _name_texts(self, warnings: Sequence[str]) -> None:
        about = "Tokens of the texts to score: read, cut off; and of those read, the ones that the vocabulary lacks"
        tokens = self._counter("text_tokens", about, side=SIDES, part=PARTS)
        self._tokens_of = {side: [tokens.labels(side, part) for part in PARTS] for side in SIDES}
        self.text_warnings = self._counter("text_warnings", "Warnings about members and candidates", code=warnings)

    def _name_model_runs(self, failures: Sequence[str]) -> None:
        self.batch_items = self._histogram("batch_items", "Items per batch", PAIRS, lane=OPERATIONS)
        self.batch_seconds = self._histogram(
            "batch_duration_seconds", "Model time of one batch", SECONDS, lane=OPERATIONS
        )
        self.padding = self._histogram("batch_padding_ratio", "Share of padding in a batch", RATIOS, lane=OPERATIONS)
        self.expired = self._counter("expired_items", "Items without a result at their deadline", lane=OPERATIONS)
        self.cancelled = self._counter(
            "departed_items", "Items dropped because their client disconnected", lane=OPERATIONS
        )
        self.run_errors = self._counter("session_run_errors", "Failed model runs by kind", kind=failures)
        self.alive = self._gauge("engine_alive", "1 while the model thread works")
        self.ready = self._gauge("ready", "1 while the service accepts requests")

    def _name_state(self) -> None:
        self.queue_items = self._gauge("queue_items", "Items in the queue: pairs, texts or blocks of candidates")
        self.backlog = self._gauge("backlog_seconds", "Predicted time of the accepted work")
        self.cache_hits = self._counter("token_cache_hits", "Candidate texts found in the token cache")
        self.cache_misses = self._counter("token_cache_misses", "Candidate texts that had to be tokenized")
        self.cache_bytes = self._gauge("token_cache_bytes", "Size of the token cache in bytes")
        self.slots = self._counter("slot_lookups", "Lookups of candidate slots by result", result=("hit", "miss"))
        self.members = self._counter("member_lookups", "Lookups of member states by result", result=("hit", "miss"))
        self.store_errors = self._counter("slot_store_errors", "Failed calls to the slot store", call=("get", "put"))
        self.ahead_waiting = self._gauge("ahead_waiting", "Candidates in the background encoding queue")
        self.ahead_dropped = self._counter("ahead_dropped", "Candidates rejected by the full background queue")

    def _counter(self, name: str, what: str, **labels: Sequence[str]) -> Counter:
        return _labelled(Counter(f"fitscore_{name}", what, tuple(labels), registry=self.registry), labels)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"fitscore_{name}", what, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: Sequence[float], **labels: Sequence[str]) -> Histogram:
        series = Histogram(f"fitscore_{name}", what, tuple(labels), registry=self.registry, buckets=buckets)
        return _labelled(series, labels)

    # The engine's observer.

    def batch_done(self, operation: str, num_items: int, padding_ratio: float, seconds: float) -> None:
        self.batch_items.labels(operation).observe(num_items)
        self.batch_seconds.labels(operation).observe(seconds)
        self.padding.labels(operation).observe(padding_ratio)

    def items_expired(self, operation: str, num_items: int) -> None:
        self.expired.labels(operation).inc(num_items)

    def items_cancelled(self, operation: str, num_items: int) -> None:
        self.cancelled.labels(operation).inc(num_items)

    def run_failed(self, kind: str) -> None:
        self.run_errors.labels(kind).inc()

    # The observer of cache lookups.

    def looked_up(self, *, hits: int, misses: int, member_hit: bool) -> None:
        self.slots.labels("miss").inc(misses)
        self.slots.labels("hit").inc(hits)
        self.members.labels("hit" if member_hit else "miss").inc()

    def store_failed(self, call: str) -> None:
        """Count a failed call, "get" or "put", to the slot store."""
        self.store_errors.labels(call).inc()

    def tokens_looked_up(self, hits: int, misses: int) -> None:
        """Count candidate texts by whether the token cache had their ids. Any thread may call it."""
        self.cache_hits.inc(hits)
        self.cache_misses.inc(misses)

    # Requests and connections.

    def answered(self, route: str, outcome: str, seconds: float) -> None:
        self.requests.labels(route, outcome).inc()
        self.duration.labels(route).observe(seconds)

    def connection_cut(self, reason: str) -> None:
        self.cuts.labels(reason).inc()

    def texts_read(self, member: Sequence[int], candidates: Sequence[int], warnings: Iterable[tuple[str, int]]) -> None:
        """Count the tokens of a request's texts, in the order of PARTS, and its warnings by code."""
        for side, nums in zip(SIDES, (member, candidates), strict=True):
            for series, num in zip(self._tokens_of[side], nums, strict=True):
                if num:
                    series.inc(num)
        for code, num in warnings:
            self.text_warnings.labels(code).inc(num)

    def scored(self, num_by_status: Mapping[str, int], stages: Mapping[str, float]) -> None:
        self.request_pairs.observe(sum(num_by_status.values()))
        for status, num in num_by_status.items():
            self.pairs.labels(status).inc(num)
        for stage, seconds in stages.items():
            self.stages.labels(stage).observe(seconds)

    # State.

    def watch_audit(self, **read: Callable[[], float]) -> None:
        """Show the state of the audit log; its values, named as in AUDIT, are read at each scrape."""
        for name, what in AUDIT.items():
            self._gauge(f"audit_{name}", what).set_function(read[name])

    def render(self) -> bytes:
        self.runtime.observe_pauses()
        return generate_latest(self.registry)


def _labelled(series: Series, labels: Mapping[str, Sequence[str]]) -> Series:
    """The series, with every value of its labels from the start."""
    for values in itertools.product(*labels.values()) if labels else ():
        series.labels(*values)
    return series
