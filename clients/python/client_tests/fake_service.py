"""A service that answers by script, and both clients on simulated time. No test of this folder waits."""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from fitscore_client import AsyncClient, Candidate, Client, RetryPolicy

URL = "http://fit"
NO_JITTER = RetryPolicy(random=lambda: 0.0)
CANDIDATES = [Candidate("j-1", "Senior data engineer"), Candidate("j-2", {"title": "Pastry chef"}), Candidate("j-3")]


@dataclass(frozen=True)
class Answer:
    """An answer, or a failed connection, after some seconds."""

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    error: type[httpx.TransportError] | None = None

    def result(self) -> httpx.Response:
        if self.error is not None:
            raise self.error("planted")
        if self.body is None and self.status >= 400:
            kind = {"Content-Type": "application/problem+json"}
            problem = {"type": "urn:fitscore:planted", "title": "Planted", "status": self.status, "request_id": "r-1"}
            return httpx.Response(self.status, headers={**kind, **self.headers}, content=json.dumps(problem))
        return httpx.Response(self.status, headers=self.headers, json=self.body)


@dataclass(frozen=True)
class Sent:
    """A request that arrived: its time, its host, and what it holds."""

    at: float
    request: httpx.Request

    @property
    def deadline_ms(self) -> int | None:
        stated = self.request.headers.get("X-Deadline-Ms")
        return None if stated is None else int(stated)

    @property
    def read_timeout_s(self) -> float:
        return float(self.request.extensions["timeout"]["read"] or "inf")

    @property
    def body(self) -> Any:
        return json.loads(self.request.content)


Script = Callable[[Sent], Answer]


def scored(sent: Sent, version: str = "1") -> Answer:
    """The answer to a scoring request: the score is the length of the id."""
    items = [
        {"id": each["id"], "score": float(len(each["id"])), "heads": {}, "status": "scored"}
        for each in sent.body["candidates"]
    ]
    model = {"name": "jobs", "version": version, "policy": None}
    return Answer(body={"model": model, "scores": items, "degraded": False, "later": "ignored"})


def in_turn(*answers: Answer | Script) -> Script:
    """These answers one after the other; then success."""
    left = list(answers)

    def script(sent: Sent) -> Answer:
        answer = left.pop(0) if left else scored
        return answer if isinstance(answer, Answer) else answer(sent)

    return script


class Clock:
    """Time that moves only when a client waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class _Selector(selectors.DefaultSelector):
    """Moves the clock to the next timer where a real selector would wait for it."""

    clock: Clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing can happen any more"
            self.clock.now += max(0.0, timeout)
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop on simulated time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        selector = _Selector()
        selector.clock = clock
        super().__init__(selector)

    def time(self) -> float:
        return self.clock.now


class World:
    """One of both clients before a scripted service."""

    def __init__(self, *, asynchronous: bool) -> None:
        self.asynchronous = asynchronous
        self.clock = Clock()
        self.sent: list[Sent] = []
        self.cancelled: list[Sent] = []
        self._ended = False
        self.script: Script = in_turn()

    def do(self, operation: str, *args: Any, at: str | None = None, **kwargs: Any) -> Any:
        """Call an operation; keyword arguments of the client begin with `client_`."""
        options = {name[7:]: kwargs.pop(name) for name in list(kwargs) if name.startswith("client_")}
        urls: Any = options.pop("urls", URL)
        options = {"policy": NO_JITTER, **options}
        if not self.asynchronous:
            with self._client(urls, options) as client:
                return getattr(client.at(at) if at else client, operation)(*args, **kwargs)

        async def run() -> Any:
            async with AsyncClient(urls, transport=httpx.MockTransport(self._later), **options) as client:
                try:
                    return await getattr(client.at(at) if at else client, operation)(*args, **kwargs)
                finally:
                    await self._settle()

        with asyncio.Runner(loop_factory=lambda: SimulatedLoop(self.clock)) as runner:
            return runner.run(run())

    def score(self, candidates: Iterable[Candidate] = CANDIDATES, **kwargs: Any) -> Any:
        """Score the usual candidates."""
        return self.do("score", "Data engineer", list(candidates), **kwargs)

    def _client(self, urls: Any, options: Any) -> Client:
        transport = httpx.MockTransport(self._now)
        return Client(urls, transport=transport, now=lambda: self.clock.now, sleep=self.clock.sleep, **options)

    async def _settle(self) -> None:
        """Let tasks end that the client cancelled. The event loop cancels what is left, which does not count."""
        for _ in range(5):
            await asyncio.sleep(0)
        self._ended = True

    def _arrived(self, request: httpx.Request) -> tuple[Sent, Answer]:
        sent = Sent(self.clock.now - 1000.0, request)
        self.sent.append(sent)
        return sent, self.script(sent)

    def _now(self, request: httpx.Request) -> httpx.Response:
        sent, answer = self._arrived(request)
        self.clock.now += min(answer.after_s, sent.read_timeout_s)
        if answer.after_s >= sent.read_timeout_s:
            raise httpx.ReadTimeout("planted")
        return answer.result()

    async def _later(self, request: httpx.Request) -> httpx.Response:
        sent, answer = self._arrived(request)
        try:
            await asyncio.sleep(answer.after_s)
        except asyncio.CancelledError:
            if not self._ended:
                self.cancelled.append(sent)
            raise
        return answer.result()
