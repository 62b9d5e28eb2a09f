"""The synchronous and the asynchronous client. They carry out plans; the operations are bound to them, not repeated."""

from __future__ import annotations

import asyncio
import copy
import functools
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from fitscore_client.operations import ChunkLimits, Operations
from fitscore_client.retrying import Now, Outcome, Plan, RetryPolicy, Send, Together

P = ParamSpec("P")
T = TypeVar("T")
Operation = Callable[Concatenate[Operations, P], Plan[T]]
USUAL_POLICY = RetryPolicy()
USUAL_LIMITS = ChunkLimits()


class _Shared:
    """What both clients keep."""

    _operations: Operations

    def at(self, url: str) -> Self:
        """A client for one of the base URLs, with the same connections and retry budget."""
        if url.rstrip("/") not in self._operations.urls:
            raise ValueError("not a base URL of this client")
        view = copy.copy(self)
        view._operations = replace(self._operations, urls=(url.rstrip("/"),))
        return view

    def _request(self, send: Send) -> dict[str, Any]:
        """The arguments of httpx's `request`, with the time that is left now."""
        call, left_s = send.call, max(send.deadline.left_s(), 0.001)
        connect_s = min(left_s, self._operations.policy.connect_timeout_s)
        timeout = httpx.Timeout(None if left_s == float("inf") else left_s, connect=connect_s)
        parts = {"method": call.method, "url": call.url, "content": call.content}
        return {**parts, "headers": call.headers(left_s), "timeout": timeout}


def _checked(urls: str | Sequence[str]) -> tuple[str, ...]:
    found = tuple(url.rstrip("/") for url in ([urls] if isinstance(urls, str) else urls))
    if not found or any(httpx.URL(url).scheme not in ("http", "https") for url in found):
        raise ValueError("give base URLs that begin with http:// or https://")
    return found


def _authorization(api_key: str | None) -> dict[str, str]:
    return {} if api_key is None else {"Authorization": f"Bearer {api_key}"}


def _blocking(operation: Operation[P, T]) -> Callable[Concatenate[Client, P], T]:
    @functools.wraps(operation)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(operation(self._operations, *args, **kwargs))

    return call


class Client(_Shared):
    """Calls Fitscore. Threads may share a client.

    With several base URLs each candidate belongs to one of them. `budget_s` is the time that a call may take, retries
    and waits included. `now` and `sleep` are for tests.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        api_key: str | None = None,
        budget_s: float = 10.0,
        policy: RetryPolicy = USUAL_POLICY,
        limits: ChunkLimits = USUAL_LIMITS,
        transport: httpx.BaseTransport | None = None,
        now: Now = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._operations = Operations(_checked(urls), policy, limits, budget_s, now)
        self._sleep = sleep
        self._http = httpx.Client(headers=_authorization(api_key), transport=transport)

    score = _blocking(Operations.score)
    rerank = _blocking(Operations.rerank)
    upsert = _blocking(Operations.upsert)
    delete = _blocking(Operations.delete)
    progress = _blocking(Operations.progress)
    models = _blocking(Operations.models)
    activate = _blocking(Operations.activate)
    shadow = _blocking(Operations.shadow)
    canary = _blocking(Operations.canary)
    roll_back = _blocking(Operations.roll_back)
    probe = _blocking(Operations.probe)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, plan: Plan[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = plan.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Send):
                outcome = self._send(step)
            elif isinstance(step, Together):
                with ThreadPoolExecutor(len(step.plans)) as pool:
                    outcome = list(pool.map(self._run, step.plans))
            else:
                self._sleep(step.seconds)
                outcome = None

    def _send(self, send: Send) -> Outcome:
        try:
            return self._http.request(**self._request(send))
        except httpx.TransportError as error:
            return error


def _awaited(operation: Operation[P, T]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    @functools.wraps(operation)
    async def call(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(operation(self._operations, *args, **kwargs))

    return call


class AsyncClient(_Shared):
    """Calls Fitscore from asyncio, as `Client` does.

    With `hedge_after_s`, a scoring request without an answer after that time is sent a second time. The first success
    counts, and the other request is cancelled. Each hedge takes a token of the retry budget.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        api_key: str | None = None,
        budget_s: float = 10.0,
        policy: RetryPolicy = USUAL_POLICY,
        limits: ChunkLimits = USUAL_LIMITS,
        hedge_after_s: float | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:

        def now() -> float:  # a client may be made before its event loop runs
            return asyncio.get_running_loop().time()

        self._operations = Operations(_checked(urls), policy, limits, budget_s, now)
        self._hedge_after_s = hedge_after_s
        self._http = httpx.AsyncClient(headers=_authorization(api_key), transport=transport)

    score = _awaited(Operations.score)
    rerank = _awaited(Operations.rerank)
    upsert = _awaited(Operations.upsert)
    delete = _awaited(Operations.delete)
    progress = _awaited(Operations.progress)
    models = _awaited(Operations.models)
    activate = _awaited(Operations.activate)
    shadow = _awaited(Operations.shadow)
    canary = _awaited(Operations.canary)
    roll_back = _awaited(Operations.roll_back)
    probe = _awaited(Operations.probe)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, plan: Plan[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = plan.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Send):
                outcome = await self._hedged(step)
            elif isinstance(step, Together):
                outcome = await self._together(step)
            else:
                await asyncio.sleep(step.seconds)
                outcome = None

    async def _send(self, send: Send) -> Outcome:
        try:
            async with asyncio.timeout_at(send.deadline.at):  # httpx bounds each phase, this bounds their sum
                return await self._http.request(**self._request(send))
        except TimeoutError:
            return httpx.ReadTimeout("")
        except httpx.TransportError as error:
            return error

    async def _together(self, step: Together) -> list[Any]:
        tasks = [asyncio.ensure_future(self._run(plan)) for plan in step.plans]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _hedged(self, send: Send) -> Outcome:
        """Send; if hedging is on, send a second time after the delay. The first success counts, else the last error."""
        if self._hedge_after_s is None or not send.call.scoring:
            return await self._send(send)
        running = {asyncio.ensure_future(self._send(send))}
        try:
            done, _ = await asyncio.wait(running, timeout=self._hedge_after_s)
            if not done and self._operations.policy.may_repeat():
                running.add(asyncio.ensure_future(self._send(send)))
            outcome: Outcome = None
            while running and not send.call.succeeded(outcome):
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                outcome = max((task.result() for task in done), key=send.call.succeeded)
            return outcome
        finally:
            for task in running:
                task.cancel()
