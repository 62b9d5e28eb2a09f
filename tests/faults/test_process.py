"""The process under signals and without file descriptors. Deadlines use a clock that does not jump."""

import ast
import os
import resource
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from load_tests.fire.hostile_clients import STOCK
from load_tests.server import free_port
from tests.support.service import CANDIDATES, MEMBER
from tests.support.service_process import process
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
BODY = {"member": MEMBER, "candidates": CANDIDATES}
MOST_FILES = 80


class Callers:
    """Eight clients that send request after request until the service is gone. `heard` holds their outcomes."""

    def __init__(self, url: httpx.URL) -> None:
        self.heard: list[list[str]] = [[] for _ in range(8)]
        context = httpx.create_ssl_context()  # slow to make, and not needed: once is enough
        self._clients = [httpx.Client(base_url=url, timeout=PATIENCE_S, verify=context) for _ in self.heard]
        self._threads = [
            threading.Thread(target=self._call, args=each) for each in zip(self._clients, self.heard, strict=True)
        ]
        for thread in self._threads:
            thread.start()
        eventually(lambda: all(self.heard))

    def _call(self, client: httpx.Client, heard: list[str]) -> None:
        while True:
            try:
                heard.append(str(client.post("/score", json=BODY).status_code))
            except httpx.ConnectError:
                return  # refused, not broken
            except httpx.TransportError as error:
                heard.append(type(error).__name__)

    def outcomes(self) -> Counter[str]:
        """What all of them heard, once the service has ended."""
        for thread, client in zip(self._threads, self._clients, strict=True):
            thread.join()
            client.close()
        return Counter(each for heard in self.heard for each in heard)


def test_sigterm_under_load_fails_no_request(bundle: Path) -> None:
    with process(BUNDLE=str(bundle), DRAIN_DELAY_S="0.5") as (started, client):
        callers = Callers(client.base_url)
        started.send_signal(signal.SIGTERM)
        assert started.wait(PATIENCE_S) == 0
        outcomes = callers.outcomes()
    assert set(outcomes) == {"200"}, outcomes


def test_kill_9_breaks_running_requests_and_a_new_process_takes_the_port(bundle: Path) -> None:
    """The negative control of the test above: the same callers do notice an end that is none."""
    with process(BUNDLE=str(bundle)) as (started, client):
        callers = Callers(client.base_url)
        started.kill()
        assert started.wait(PATIENCE_S) == -signal.SIGKILL
        assert set(callers.outcomes()) - {"200"}
    with process(BUNDLE=str(bundle), PORT=str(client.base_url.port)) as (_, client):
        assert client.post("/score", json=BODY).status_code == 200


@contextmanager
def limited(which: int, most: int) -> Iterator[None]:
    """Children started meanwhile have this limit; this process gets its own back."""
    soft, hard = resource.getrlimit(which)
    resource.setrlimit(which, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(which, (soft, hard))


@contextmanager
def flood(port: int | None) -> Iterator[None]:
    """More clients, who say nothing, than a process may have descriptors."""
    assert port is not None
    clients = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) for _ in range(200)]
    try:
        yield
    finally:
        for each in clients:
            each.close()


def test_without_descriptors_idle_connections_close_and_the_service_lives_on(bundle: Path) -> None:
    with ExitStack() as stack:
        with limited(resource.RLIMIT_NOFILE, MOST_FILES):
            started, client = stack.enter_context(process(BUNDLE=str(bundle)))
        with flood(client.base_url.port):
            assert httpx.post(f"{client.base_url}/score", json=BODY, timeout=PATIENCE_S).status_code == 200
        assert client.post("/score", json=BODY).status_code == 200
        assert started.poll() is None


def test_without_descriptors_stock_uvicorn_stops_answering() -> None:
    """The negative control of the test above: the flood takes all descriptors."""
    port = free_port()
    with limited(resource.RLIMIT_NOFILE, MOST_FILES):
        started = subprocess.Popen(STOCK, cwd=ROOT, env={**os.environ, "FITSCORE_PORT": str(port)})
    try:
        url = f"http://127.0.0.1:{port}/score"
        patient = httpx.HTTPTransport(retries=10)  # until it listens
        with httpx.Client(transport=patient, timeout=PATIENCE_S) as client:
            assert client.post(url, json=BODY).status_code == 200
        with flood(port), pytest.raises(httpx.TransportError):
            httpx.post(url, json=BODY, timeout=3)
        assert started.poll() is None
    finally:
        started.kill()
        started.wait()


def wall_clocks(source: str) -> list[str]:
    """Where a source asks a clock that people set."""
    attributes = [ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    return sorted(
        name for name in attributes if name in ("time.time", "datetime.now", "datetime.utcnow", "time.time_ns")
    )


def test_no_deadline_uses_a_clock_that_may_jump() -> None:
    """`time.time` and `datetime.now` say when something was; only what leaves a process or outlives it may ask them."""
    files = [path for path in (ROOT / "service").rglob("*.py") if path.parent.name not in ("audit", "store")]
    found = {str(path.relative_to(ROOT / "service")): wall_clocks(path.read_text()) for path in files}
    assert {name: calls for name, calls in found.items() if calls} == {
        "observability/tracing.py": ["time.time_ns"],  # when a span ended
        "observability/requests.py": ["datetime.now"],  # a line of the access log
        "http/compat/shapes.py": ["time.time", "time.time"],  # `created` of two shapes
    }


def test_the_check_finds_a_planted_wall_clock() -> None:
    planted = "import time\nlate = time.time() > deadline\nsoon = datetime.now()"
    assert wall_clocks(planted) == ["datetime.now", "time.time"]
