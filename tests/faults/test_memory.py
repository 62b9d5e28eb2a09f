"""Without memory, requests get errors and the service lives on. A leak is detected."""

import gc
import resource
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from load_tests.fire.leaking import _KEPT, leak
from service.observability.metrics import Metrics
from tests.support.service import CANDIDATES, MEMBER, Running, Serve
from tests.support.service_process import process

BODY = {"member": MEMBER, "candidates": CANDIDATES}
ROOM_BYTES = 4 << 20
LARGE = {
    "member": {"text": "data engineer"},
    "candidates": [{"id": f"{n}", "text": "chef " * 700} for n in range(1000)],
}
MOST_BYTES = 10  # a request: 1 MB in 100,000
TURNS = 150


def outcomes(url: httpx.URL, num: int) -> Counter[str]:
    """The outcomes of `num` large requests at the same time."""

    def ask(_: int) -> str:
        try:
            return str(httpx.post(f"{url}/score", json=LARGE, timeout=60).status_code)
        except httpx.TransportError as error:
            return type(error).__name__

    with ThreadPoolExecutor(num) as pool:
        return Counter(pool.map(ask, range(num)))


@pytest.mark.process
def test_without_memory_large_requests_fail_and_the_service_lives_on(bundle: Path) -> None:
    with process(BUNDLE=str(bundle), MAX_TEXT_CHARS="5000") as (started, client):
        assert client.post("/score", json=BODY).status_code == 200
        pages = int(Path(f"/proc/{started.pid}/statm").read_text().split()[0])
        soft, hard = resource.prlimit(started.pid, resource.RLIMIT_AS)
        resource.prlimit(started.pid, resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM_BYTES, hard))
        refused = outcomes(client.base_url, 8)
        assert started.poll() is None, refused
        assert set(refused) != {"200"}, refused  # the limit did bite
        resource.prlimit(started.pid, resource.RLIMIT_AS, (soft, hard))
        assert client.post("/score", json=BODY).status_code == 200
        assert client.get("/livez").status_code == 200
        assert set(outcomes(client.base_url, 2)) == {"200"}  # the control: it was the limit alone


def kept_bytes(running: Running) -> float:
    """Bytes that a request leaves behind in the service's own lines, once caches are warm."""
    own = [tracemalloc.Filter(True, f"*/{part}/*") for part in ("service", "models", "load_tests/fire")]

    def held() -> int:
        gc.collect()
        return sum(each.size for each in tracemalloc.take_snapshot().filter_traces(own).traces)

    tracemalloc.start()
    try:
        for _ in range(TURNS // 3):
            running.score()
        before = held()
        for _ in range(TURNS):
            assert running.score().status_code == 200
        return (held() - before) / TURNS
    finally:
        tracemalloc.stop()


def test_requests_leave_no_memory_behind(serve: Serve) -> None:
    assert kept_bytes(serve()) <= MOST_BYTES


def test_a_planted_leak_is_found(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr(Metrics, "answered", Metrics.answered)  # put back afterwards
    leak()
    try:
        assert kept_bytes(serve()) > 10 * MOST_BYTES
    finally:
        _KEPT.clear()
