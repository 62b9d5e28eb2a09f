"""A collector for tests: takes OTLP over HTTP on a port, and keeps each span and the bytes that carried it."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SERVER = Span.SpanKind.SPAN_KIND_SERVER


@dataclass(frozen=True)
class Received:
    """What has arrived: the spans in their order, the bytes, and the attributes of the resource."""

    url: str
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    resource: dict[str, str] = field(default_factory=dict)

    def requests(self) -> list[Span]:
        """The spans of requests, without those of their stages."""
        return [each for each in self.spans if each.kind == SERVER]

    def stages(self, request: Span) -> list[Span]:
        found = [each for each in self.spans if each.parent_span_id == request.span_id]
        return sorted(found, key=lambda each: each.start_time_unix_nano)


def attributes(span: Span) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


@contextmanager
def receiver() -> Iterator[Received]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            found = ExportTraceServiceRequest.FromString(body)
            assert self.path == "/v1/traces"
            received.bodies.append(body)
            for resource in found.resource_spans:
                received.resource.update((each.key, each.value.string_value) for each in resource.resource.attributes)
                received.spans.extend(span for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received = Received(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
