"""A real server in a thread, on a free port, with the tiny bundle: tests speak HTTP to it as a caller would."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

from service.__main__ import listen
from service.app import create_app
from service.door import Door
from service.lifecycle import Load
from service.settings import Settings
from tests.bundles import write_tiny_bundle
from tests.fakes import PATIENCE_S, GatedScorer, loading

MEMBER = {"id": "m", "fields": {"headline": "data engineer", "skills": ["python", "spark"]}}
CANDIDATES = [
    {"id": "j1", "fields": {"title": "senior data engineer", "description": "python platform"}},
    {"id": "j2", "text": "pastry chef. bake"},
]


@dataclass(frozen=True)
class Running:
    """A service that listens: an HTTP client for it, its app and what it said of failures."""

    client: httpx.Client
    app: Door
    port: int
    failures: list[str]

    def score(self, **changes: object) -> httpx.Response:
        """POST /score with the usual member and candidates; `changes` replace fields of the body."""
        return self.client.post("/score", json={"member": MEMBER, "candidates": CANDIDATES, **changes})


Serve = Callable[..., Running]


@contextmanager
def _running(settings: Settings, load: Load | None, wait: bool) -> Iterator[Running]:
    failures: list[str] = []
    app = create_app(settings, load=load, on_failure=failures.append)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_config=None, server_header=False))
    listener = listen(settings)
    port = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        while wait and client.get("/readyz").json()["phase"] == "loading":
            pass
        yield Running(client, app, port, failures)
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
            settings = Settings.model_validate({"bundle": bundle, "port": 0, "threads": 1, **changes})
            return stack.enter_context(_running(settings, load, wait))

        yield start


@pytest.fixture(scope="session")
def usual(bundle: Path) -> Iterator[Running]:
    """One service with usual settings, shared by the tests that leave no trace in it."""
    with _running(Settings(bundle=bundle, port=0, threads=1), None, True) as running:
        yield running


@contextmanager
def busy(serve: Serve) -> Iterator[Running]:
    """A service at work on a request that it believes to take half a minute; it ends with the block."""
    scorer = GatedScorer()
    running = serve(load=loading(scorer, run_s=30.0), max_backlog_s=100)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(running.score, deadline_ms=60_000)
        assert scorer.began.wait(PATIENCE_S)
        yield running
        scorer.gate.set()
        assert first.result().status_code == 200
