"""A real server in a thread, on a free port, with the tiny bundle: tests speak HTTP to it as a caller would."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from service.__main__ import listen, uvicorn_config
from service.app import create_app
from service.http.guard import RequestGuard
from service.lifecycle import Load
from service.settings import Settings
from tests.support.bundles import write_tiny_bundle
from tests.support.fakes import PATIENCE_S, GatedScorer, loading

MEMBER = {"id": "m", "fields": {"headline": "data engineer", "skills": ["python", "spark"]}}
CANDIDATES: list[dict[str, Any]] = [
    {"id": "j1", "fields": {"title": "senior data engineer", "description": "python platform"}},
    {"id": "j2", "text": "pastry chef. bake"},
]
# A slow machine refuses nobody and takes no run for hung, unless a test is about that.
OPEN = {"default_deadline_ms": 600_000, "max_backlog_s": 600, "hang_s": 120}


@dataclass(frozen=True)
class Running:
    """A service that listens: an HTTP client for it, its app, what it said of failures, and who is connected now."""

    client: httpx.Client
    app: RequestGuard
    port: int
    failures: list[str]
    connections: set[Any] = field(default_factory=set)

    def score(self, **changes: object) -> httpx.Response:
        """POST /score with the usual member and candidates; `changes` replace fields of the body."""
        return self.client.post("/score", json={"member": MEMBER, "candidates": CANDIDATES, **changes})


Serve = Callable[..., Running]


@contextmanager
def _running(settings: Settings, load: Load | None, wait: bool) -> Iterator[Running]:
    failures: list[str] = []
    app = create_app(settings, load=load, on_failure=failures.append)
    server = uvicorn.Server(uvicorn_config(app, settings))
    listener = listen(settings.host, settings.port)
    port = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
        while wait and client.get("/readyz").json()["phase"] == "loading":
            pass
        yield Running(client, app, port, failures, server.server_state.connections)
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle, version 1, in a folder of its own."""
    path = tmp_path_factory.mktemp("bundles") / "tiny-v1"
    write_tiny_bundle(path)
    return path


@pytest.fixture
def serve(bundle: Path) -> Iterator[Serve]:
    """Start a service with other settings than the usual: serve(max_body_bytes=10, ...)."""
    with ExitStack() as stack:

        def start(*, load: Load | None = None, wait: bool = True, **changes: object) -> Running:
            usual = {"bundle": bundle, "port": 0, "threads": 1, "trial_s": 0}
            settings = Settings.model_validate({**usual, **OPEN, **changes})
            return stack.enter_context(_running(settings, load, wait))

        yield start


@pytest.fixture(scope="session")
def usual(bundle: Path) -> Iterator[Running]:
    """One service with usual settings and an open door, shared by the tests that leave no trace in it."""
    settings = Settings.model_validate({"bundle": bundle, "port": 0, "threads": 1, **OPEN})
    with _running(settings, None, True) as running:
        yield running


@contextmanager
def busy(serve: Serve) -> Iterator[Running]:
    """A service at work on a request that it believes to take half a minute; it ends with the block."""
    scorer = GatedScorer()
    running = serve(load=loading(scorer, run_s=30.0), max_backlog_s=100, default_deadline_ms=5000)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(running.score, deadline_ms=600_000)
        assert scorer.began.wait(PATIENCE_S)
        yield running
        scorer.gate.set()
        assert first.result().status_code == 200
