"""Traces and the access log: which requests are traced, what a span says, and that no text leaves with it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from service.observability.requests import AccessLog, AnsweredRequest, TraceParent, parent_trace, parse_traceparent
from service.observability.tracing import CLOSE_S, Tracing
from tests.support.otlp_receiver import Received, attributes, receiver
from tests.support.service import CANDIDATES, MEMBER, in_process, settings_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
CANARY = "canary-9d2e"


@pytest.fixture
def collector() -> Iterator[Received]:
    with receiver() as received:
        yield received


def traced(bundle: Path, collector: Received, calls: list[dict[str, Any]], **changes: object) -> list[int]:
    """The statuses of these calls to a service that has ended, so that all spans were sent."""
    settings = settings_of(bundle, otlp=collector.url, **{"trace_share": 0, **changes})
    with in_process(settings) as running:
        return [running.client.request(**call).status_code for call in calls]


def scoring(headers: dict[str, str] | None = None, **body: object) -> dict[str, Any]:
    asked = {"member": MEMBER, "candidates": CANDIDATES, **body}
    return {"method": "POST", "url": "/score", "json": asked, "headers": headers or {}}


def test_a_sampled_request_is_a_child_of_the_callers_span(bundle: Path, collector: Received) -> None:
    assert traced(bundle, collector, [scoring({**SAMPLED, "X-Request-Id": "r-1"})]) == [200]
    (span,) = collector.requests()
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.name) == (TRACE, PARENT, "POST /score")
    assert collector.resource["service.name"] == "fitscore"
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.route": "/score",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "fitscore.request_id": "r-1",
        "fitscore.outcome": "ok",
        "fitscore.caller": "anyone",
        "fitscore.model": "tiny@1",
        "fitscore.pairs": 2,
    }


def test_the_stages_follow_each_other_within_their_request(bundle: Path, collector: Received) -> None:
    before = time.time_ns()
    traced(bundle, collector, [scoring(SAMPLED)])
    (span,) = collector.requests()
    stages = collector.stages(span)
    assert [each.name for each in stages] == ["read", "parse", "admit", "tokenize", "queue", "model", "answer"]
    assert [each.start_time_unix_nano for each in stages[1:]] == [each.end_time_unix_nano for each in stages[:-1]]
    assert before < span.start_time_unix_nano == stages[0].start_time_unix_nano
    assert stages[-1].end_time_unix_nano <= span.end_time_unix_nano + 100_000  # two clocks
    assert {each.trace_id for each in stages} == {span.trace_id}


@pytest.mark.parametrize(
    ("header", "share", "num"),
    [
        (f"00-{TRACE}-{PARENT}-01", 0, 1),
        (f"00-{TRACE}-{PARENT}-00", 1, 0),
        (None, 1, 1),
        (None, 0, 0),
        ("not a traceparent", 0, 0),
        ("not a traceparent", 1, 1),
    ],
)
def test_the_callers_flag_decides_and_else_the_share(
    bundle: Path, collector: Received, header: str | None, share: float, num: int
) -> None:
    traced(bundle, collector, [scoring({"traceparent": header} if header else None)], trace_share=share)
    assert len(collector.requests()) == num


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f"00-{TRACE}-{PARENT}-01", TraceParent(TRACE, PARENT, True)),
        (f"00-{TRACE}-{PARENT}-00", TraceParent(TRACE, PARENT, False)),
        (f"00-{TRACE}-{PARENT}-ff", TraceParent(TRACE, PARENT, True)),
        (f"cc-{TRACE}-{PARENT}-01-more", TraceParent(TRACE, PARENT, True)),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}-1", None),
        (f" 00-{TRACE}-{PARENT}-01", None),
        ("", None),
    ],
)
def test_a_traceparent_is_read_as_the_standard_says(header: str, found: TraceParent | None) -> None:
    assert parse_traceparent(header) == found


def test_an_error_of_the_service_marks_its_span_and_a_callers_mistake_does_not(
    bundle: Path, collector: Received
) -> None:
    calls = [scoring(SAMPLED), {"method": "GET", "url": "/unknown", "headers": SAMPLED}]
    assert traced(bundle, collector, calls, max_backlog_s=0) == [503, 404]
    overloaded, invalid = collector.requests()
    assert overloaded.status.code == 2
    assert attributes(overloaded)["error.type"] == "503"
    assert (invalid.status.code, "error.type" in attributes(invalid)) == (0, False)
    assert attributes(invalid)["http.response.status_code"] == 404


def canaries() -> list[dict[str, Any]]:
    """Requests that carry the canary wherever a caller can put a text, a key or an id."""
    item = {"id": f"id-{CANARY}", "fields": {CANARY: CANARY}}
    headers = {**SAMPLED, "Authorization": f"Bearer {CANARY}", "User-Agent": CANARY, "X-Other": CANARY}
    return [
        scoring(headers, candidates=[item]),
        scoring(headers, blend={CANARY: 1.0}),
        scoring({**headers, "X-Request-Id": f"not a word {CANARY}"}, member={"text": CANARY}),
        {"method": "POST", "url": "/rerank", "json": {"query": CANARY, "documents": [CANARY]}, "headers": headers},
        {"method": "DELETE", "url": f"/candidates/{CANARY}", "headers": headers},
        {"method": "GET", "url": f"/{CANARY}?{CANARY}={CANARY}", "headers": headers},
        {"method": "POST", "url": f"/v1/models/{CANARY}:activate", "headers": headers},
        {"method": f"X{CANARY}", "url": "/score", "headers": headers},
        {"method": "POST", "url": "/score", "content": CANARY, "headers": headers},
    ]


def test_no_text_key_path_or_id_of_an_item_leaves_with_a_span(bundle: Path, collector: Received) -> None:
    statuses = traced(bundle, collector, canaries())
    assert len(collector.requests()) == len(statuses) == len(canaries())
    assert CANARY.encode() not in b"".join(collector.bodies)


def test_the_search_for_canaries_finds_one_in_a_span(collector: Received) -> None:
    tracing = Tracing(collector.url, 0)
    tracing(answered(caller=CANARY, parent=TraceParent(TRACE, PARENT, True)))
    tracing.close()
    assert CANARY.encode() in b"".join(collector.bodies)


def test_probes_and_scrapes_are_not_traced(bundle: Path, collector: Received) -> None:
    paths = ("/livez", "/readyz", "/metrics")
    traced(bundle, collector, [{"method": "GET", "url": path, "headers": SAMPLED} for path in paths])
    assert collector.spans == []


def test_without_a_collector_requests_are_answered_and_the_end_is_not_late(bundle: Path) -> None:
    with in_process(settings_of(bundle, otlp="http://127.0.0.1:1", trace_share=1)) as running:
        assert [running.score().status_code for _ in range(20)] == [200] * 20
        began = time.monotonic()
    assert time.monotonic() - began < CLOSE_S + 5


def answered(**changes: Any) -> AnsweredRequest:
    usual: dict[str, Any] = {
        "id": "r-1", "method": "POST", "route": "/score", "status": 200, "outcome": "ok", "caller": "ranking",
        "model": "jobs@3", "num_pairs": 2, "seconds": 0.25, "stages": {"read": 0.05, "model": 0.2}, "parent": None,
    }  # fmt: skip
    return AnsweredRequest(**{**usual, **changes})


def test_the_access_log_is_one_line_of_json_for_a_request() -> None:
    stream = StringIO()
    AccessLog(stream, parent_trace)(answered(parent=TraceParent(TRACE, PARENT, False)))
    AccessLog(stream, parent_trace)(answered(status=0, outcome="cancelled", model="", num_pairs=0))
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "request_id": "r-1", "trace_id": TRACE, "caller": "ranking", "method": "POST", "route": "/score",
        "status": 200, "outcome": "ok", "model": "jobs@3", "pairs": 2, "ms": 250.0,
        "stages_ms": {"read": 50.0, "model": 200.0},
    }  # fmt: skip
    assert (second["status"], second["trace_id"], second["model"]) == (None, None, None)


def test_the_access_log_has_the_id_of_the_trace_that_was_sent(collector: Received) -> None:
    stream, tracing = StringIO(), Tracing(collector.url, 1)
    AccessLog(stream, tracing)(answered())
    tracing.close()
    (span,) = collector.requests()
    assert json.loads(stream.getvalue())["trace_id"] == span.trace_id.hex()


def test_the_access_log_is_off_by_default_and_holds_no_canary(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for setting, num in (("off", 0), ("on", len(canaries()))):
        with in_process(settings_of(bundle, access_log=setting)) as running:
            for call in canaries():
                running.client.request(**call)
            running.client.get("/livez")
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == num
        assert CANARY not in "".join(lines)


def test_an_access_log_whose_reader_has_ended_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    access = AccessLog(Broken(), parent_trace)
    access(answered())
    access(answered())
    assert [each.getMessage() for each in caplog.records] == ["the access log cannot be written: Broken pipe"]


@pytest.mark.process
def test_a_service_without_traces_does_not_import_the_exporter() -> None:
    code = (
        "import sys; from service.app import create_app; from service.settings import Settings;"
        " create_app(Settings()); sys.exit('opentelemetry.exporter' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.process
def test_traces_without_their_packages_are_a_bad_setting() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.exporter'] = None; from service.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"FITSCORE_OTLP": "http://127.0.0.1:1", "PATH": "/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "FITSCORE_OTLP: needs the extra otel" in done.stderr
