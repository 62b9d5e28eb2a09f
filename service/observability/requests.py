"""What is kept of an answered request, for traces and the access log: names, numbers and ids of the request itself.

No text, path or id of a member or candidate gets here, so none can leave with a span or a log line.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

log = logging.getLogger("fitscore")

# Probes and scrapes come every few seconds and say nothing about callers.
UNWATCHED = frozenset({"probe", "/metrics"})
# W3C Trace Context: version, trace id, parent id, flags. Versions after 00 may add parts at the end.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class TraceParent:
    """The span of the caller that a request belongs to."""

    trace_id: str
    span_id: str
    sampled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredRequest:
    """A request and how it ended. `status` is 0 if its client left before. `stages` are in float seconds.

    `route` is a known one, `caller` the name of a key, `model` a name and a version or empty.
    """

    id: str
    method: str
    route: str
    status: int
    outcome: str
    caller: str
    model: str
    num_pairs: int
    seconds: float
    stages: Mapping[str, float]
    parent: TraceParent | None


def parse_traceparent(header: str) -> TraceParent | None:
    """The caller's span, or None if the header is not a valid `traceparent`."""
    found = _TRACEPARENT.fullmatch(header)
    if found is None or (found[1] == "00" and found[5]):
        return None
    return TraceParent(found[2], found[3], bool(int(found[4], 16) & _SAMPLED))


# Takes an answered request; the id of its trace, or None without one.
Trace = Callable[[AnsweredRequest], str | None]


def parent_trace(request: AnsweredRequest) -> str | None:
    """The id of the caller's trace: what is known where the service sends no spans of its own."""
    return request.parent.trace_id if request.parent else None


class AccessLog:
    """Writes one line of JSON for each answered request."""

    def __init__(self, stream: TextIO, trace: Trace) -> None:
        self._stream = stream
        self._trace = trace
        self._broken = False

    def __call__(self, request: AnsweredRequest) -> str | None:
        trace_id = self._trace(request)
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": request.id,
            "trace_id": trace_id,
            "caller": request.caller,
            "method": request.method,
            "route": request.route,
            "status": request.status or None,
            "outcome": request.outcome,
            "model": request.model or None,
            "pairs": request.num_pairs,
            "ms": _milliseconds(request.seconds),
            "stages_ms": {name: _milliseconds(seconds) for name, seconds in request.stages.items()},
        }
        try:
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()
        except OSError as error:  # its reader has ended; the service goes on
            if not self._broken:
                log.warning("the access log cannot be written: %s", error.strerror)
            self._broken = True
        return trace_id


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
