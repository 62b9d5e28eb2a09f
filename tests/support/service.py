"""The service for tests, with the tiny bundle: in this process without a socket, or on a port of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import uvicorn
import uvloop
from starlette.types import ASGIApp

from service.app import App, create_app
from service.http.server import uvicorn_config
from service.http.wire.listening import listen
from service.registry.swap import Load
from service.settings import Settings
from tests.support.fakes import GatedScorer, loading
from tests.support.waiting import PATIENCE_S, eventually

MEMBER = {"id": "m", "fields": {"headline": "data engineer", "skills": ["python", "spark"]}}
CANDIDATES: list[dict[str, Any]] = [
    {"id": "j1", "fields": {"title": "senior data engineer", "description": "python platform"}},
    {"id": "j2", "text": "pastry chef. bake"},
]
# A slow machine refuses no request and declares no run hung, unless a test is about that.
OPEN = {"default_deadline_ms": 600_000, "max_backlog_s": 600, "hang_s": 120}


@dataclass(frozen=True)
class Running:
    """A service in this process: a client that calls it without a socket, its app, and the failures it reported."""

    client: httpx.Client
    app: App
    failures: list[str]

    def score(self, **changes: object) -> httpx.Response:
        """POST /score with the usual member and candidates; `changes` replace fields of the body."""
        return self.client.post("/score", json={"member": MEMBER, "candidates": CANDIDATES, **changes})


@dataclass(frozen=True)
class Listening(Running):
    """A service that uvicorn serves on a port; `connections` are those open now."""

    port: int
    connections: set[Any] = field(default_factory=set)


R = TypeVar("R", bound=Running)
Serve = Callable[..., Running]
ServeOnPort = Callable[..., Listening]


def settings_of(bundle: object, **changes: object) -> Settings:
    """Settings for a test's service: one thread, a free port, no trial of bundles in a child process."""
    usual = {"bundle": bundle, "port": 0, "threads": 1, "trial_s": 0}
    return Settings.model_validate({**usual, **OPEN, **changes})


@contextmanager
def in_process(settings: Settings, *, load: Load | None = None, wait: bool = True) -> Iterator[Running]:
    """Run the service's app in an event loop of its own thread. `wait`: until it has loaded its model."""
    failures: list[str] = []
    app = create_app(settings, load=load, on_failure=failures.append)
    with _loop() as loop, _lifespan(app.guard, loop):
        running = Running(httpx.Client(base_url="http://service", transport=_Transport(app.guard, loop)), app, failures)
        if wait:
            eventually(lambda: _loaded(running))
        yield running


@contextmanager
def on_port(settings: Settings, *, load: Load | None = None, wait: bool = True) -> Iterator[Listening]:
    """Serve it with uvicorn, as `python -m service` does, on a free port."""
    failures: list[str] = []
    app = create_app(settings, load=load, on_failure=failures.append)
    server = uvicorn.Server(uvicorn_config(app.guard, settings, app.context.metrics))
    listener = listen(settings.server.host, settings.server.port)
    port = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
        running = Listening(client, app, failures, port, server.server_state.connections)
        if wait:
            eventually(lambda: _loaded(running))
        yield running
    server.should_exit = True
    thread.join()
    listener.close()


def _loaded(running: Running) -> bool:
    return bool(running.client.get("/readyz").json()["phase"] != "loading")


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread, of the kind that uvicorn uses."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def _lifespan(app: ASGIApp, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Start and stop the app as uvicorn does."""
    config = uvicorn.Config(app, lifespan="on", log_config=None)
    config.load()
    lifespan = config.lifespan_class(config)
    asyncio.run_coroutine_threadsafe(lifespan.startup(), loop).result(PATIENCE_S)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(lifespan.shutdown(), loop).result(PATIENCE_S)


class _Transport(httpx.BaseTransport):
    """Calls an ASGI app in another thread's event loop."""

    def __init__(self, app: ASGIApp, loop: asyncio.AbstractEventLoop) -> None:
        self._app = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._loop = loop

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run_coroutine_threadsafe(self._answer(request), self._loop).result(PATIENCE_S)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        sent = httpx.Request(request.method, request.url, headers=request.headers, stream=_Chunks(request.stream))
        answer = await self._app.handle_async_request(sent)
        return httpx.Response(answer.status_code, headers=answer.headers.raw, content=await _raw(answer))


async def _raw(answer: httpx.Response) -> bytes:
    """The body as it was sent, perhaps compressed."""
    return b"".join([chunk async for chunk in answer.aiter_raw()])


class _Chunks(httpx.AsyncByteStream):
    """The chunks of a body that are there already."""

    def __init__(self, chunks: httpx.SyncByteStream) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


@contextmanager
def busy(serve: Callable[..., R]) -> Iterator[R]:
    """A service at work on a request that it believes to take half a minute; it ends with the block."""
    scorer = GatedScorer()
    running = serve(load=loading(scorer, run_s=30.0), max_backlog_s=100, default_deadline_ms=5000)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(running.score, deadline_ms=600_000)
        assert scorer.began.wait(PATIENCE_S)
        yield running
        scorer.gate.set()
        assert first.result().status_code == 200
