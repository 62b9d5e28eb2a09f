"""Traces by OpenTelemetry, sent as OTLP over HTTP: one span for a request and one for each of its stages.

Spans are made after the answer, from times that were measured anyway, and only for sampled requests. Names follow
OpenTelemetry's stable conventions for HTTP servers. Their `url.path` is left out, because it can hold a candidate's id.
Imported only where traces are sent: it needs the extra `otel`.
"""

from __future__ import annotations

import random
import threading
import time

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from service.observability.metrics import STAGES
from service.observability.requests import AnsweredRequest, TraceParent

# A collector that is away costs spans, never a request, and no more than this at the end of the process.
EXPORT_S = 2.0
CLOSE_S = 3.0
ORDER = {name: place for place, name in enumerate(STAGES)}


class Tracing:
    """Sends the spans of sampled requests to a collector.

    A caller's `traceparent` decides by its flag. Of the requests without one, `share` are sampled.
    """

    def __init__(self, endpoint: str, share: float) -> None:
        self._share = share
        resource = Resource.create({"service.name": "fitscore"})
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint.rstrip("/") + "/v1/traces", timeout=EXPORT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("fitscore")

    def __call__(self, request: AnsweredRequest) -> str | None:
        """Queue the request's spans if it is sampled. The id of its trace, or None without one."""
        parent = request.parent
        if not (parent.sampled if parent else random.random() < self._share):
            return parent.trace_id if parent else None
        ended = time.time_ns()
        started = ended - _nanoseconds(request.seconds)
        span = self._tracer.start_span(
            f"{request.method} {request.route}",
            context=_context(parent),
            kind=SpanKind.SERVER,
            attributes=_attributes(request),
            start_time=started,
        )
        if request.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        self._add_stages(span, request, started)
        span.end(ended)
        return format(span.get_span_context().trace_id, "032x")

    def _add_stages(self, span: trace.Span, request: AnsweredRequest, started: int) -> None:
        """A span for each stage, in the order of a request's path. A stage that ran twice is one span."""
        context = trace.set_span_in_context(span)
        for name in sorted(request.stages, key=lambda name: ORDER.get(name, len(ORDER))):
            stage = self._tracer.start_span(name, context=context, start_time=started)
            started += _nanoseconds(request.stages[name])
            stage.end(started)

    def close(self) -> None:
        """Send what waits, for at most CLOSE_S."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)


def _context(parent: TraceParent | None) -> Context | None:
    if parent is None:
        return None
    ids = int(parent.trace_id, 16), int(parent.span_id, 16)
    caller = SpanContext(*ids, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return trace.set_span_in_context(NonRecordingSpan(caller))


def _attributes(request: AnsweredRequest) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "http.request.method": request.method,
        "http.route": request.route,
        "url.scheme": "http",
        "fitscore.request_id": request.id,
        "fitscore.outcome": request.outcome,
        "fitscore.caller": request.caller,
    }
    if request.status:
        found["http.response.status_code"] = request.status
    if request.status >= 500:
        found["error.type"] = str(request.status)
    if request.model:
        found |= {"fitscore.model": request.model, "fitscore.pairs": request.num_pairs}
    return found


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
