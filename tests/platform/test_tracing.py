"""Traces in a real collector: rotel, which is not written in Python, reads what the service sends."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.platform.programs import free_ports
from tests.support.bundles import write_tiny_bundle
from tests.support.service import CANDIDATES, MEMBER
from tests.support.service_process import process
from tests.support.waiting import eventually

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
SPAN = re.compile(r"Trace ID +: (\w+)\s+Parent ID +: (\w*)\s+ID +: (\w+)\s+Name +: (.+?)\s+Kind +: SPAN_KIND_(\w+)")


@contextmanager
def collector(log: Path) -> Iterator[str]:
    """Rotel, which prints each span into `log`; yields its address."""
    spec = find_spec("rotel")
    assert spec is not None
    assert spec.origin is not None
    http, grpc = free_ports(2)
    command = [str(Path(spec.origin).parent / "rotel-agent"), "start", "--exporter", "blackhole"]
    command += ["--debug-log", "traces", "--debug-log-verbosity", "detailed"]
    command += ["--otlp-http-endpoint", f"127.0.0.1:{http}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as started:
        eventually(lambda: listens(http))
        yield f"http://127.0.0.1:{http}"
        started.kill()


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_collector_reads_the_spans_and_their_parents(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "tiny-v1")
    log = tmp_path / "rotel.log"
    with collector(log) as address, process(BUNDLE=str(tmp_path / "tiny-v1"), OTLP=address, TRACE_SHARE="0") as (_, it):
        body = {"member": MEMBER, "candidates": CANDIDATES}
        it.post("/score", json=body, headers=SAMPLED).raise_for_status()
        it.post("/score", json=body).raise_for_status()
        eventually(lambda: "POST /score" in log.read_text(encoding="utf-8"))
    spans = SPAN.findall(log.read_text(encoding="utf-8"))
    assert {trace for trace, *_ in spans} == {TRACE}
    ((parent, own),) = [(parent, own) for _, parent, own, name, kind in spans if kind == "SERVER"]
    assert parent == PARENT
    stages = {name for _, parent, _, name, kind in spans if (parent, kind) == (own, "INTERNAL")}
    assert {"read", "model", "answer"} <= stages
