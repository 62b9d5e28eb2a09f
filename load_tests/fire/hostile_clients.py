"""Hostile and broken clients: mutated bodies, invalid JSON, slow connections."""

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, takewhile
from pathlib import Path

from load_tests.client import BrokenAnswer, Connections
from load_tests.fire.invalid_json import invalid_texts
from load_tests.fire.mutate_json import mutated
from load_tests.fire.process import SERVICE, Started, started
from load_tests.fire.result import Result, Size
from load_tests.report import quantile

STOCK = (sys.executable, "-m", "load_tests.fire.stock")
CANARY = "canary7c1f"
BODY = json.dumps({"member": {"text": f"chef {CANARY}"}, "candidates": [{"id": CANARY, "text": CANARY}]}).encode()
CLIENTS = 8
STOCK_BODIES = 5000
CLOSED_S = 15.0
MAX_SLOWDOWN = 1.2


async def hostile(bundle: Path, size: Size) -> list[Result]:
    """Results for mutated bodies, invalid JSON, member text in logs and metrics, and slow connections."""
    texts = invalid_texts()
    async with started(SERVICE, bundle=bundle) as service:
        fuzzed = await _statuses(service.url, islice(_mutants(), size.bodies), size.max_s)
        refused = await _statuses(service.url, texts)
        async with Connections(service.url) as connections:
            metrics = (await connections.get("/metrics")).body
        hits = (service.written() + metrics).count(CANARY.encode())
        control_found = b"fitscore" in service.written() and b"fitscore" in metrics
        slow = await _slow(service, size)
    async with started(STOCK) as stock:
        stock_fuzzed = await _statuses(stock.url, islice(_mutants(), STOCK_BODIES))
        stock_refused = await _statuses(stock.url, texts)
        stock_slow = await _slow(stock, size)
    return [*_answered(fuzzed, refused, stock_fuzzed, stock_refused, len(texts)), _canaries(hits, control_found),
            _connections(slow, stock_slow, size)]  # fmt: skip


def _answered(
    fuzzed: Counter[int], refused: Counter[int], stock_fuzzed: Counter[int], stock_refused: Counter[int], num: int
) -> list[Result]:
    faults, stock_faults = _faults(fuzzed), _faults(stock_fuzzed)
    fours, stock_fours = _refusals(refused), _refusals(stock_refused)
    return [
        Result(f"{fuzzed.total():,} mutated bodies", "0 x 5xx", f"{faults} x 5xx", faults == 0,
               f"stock FastAPI: {stock_faults} of {stock_fuzzed.total():,}", stock_faults > 0),
        Result(f"{num} invalid JSON texts", "all 4xx", f"{fours} x 4xx", fours == num,
               f"stock FastAPI: {stock_fours}", stock_fours < num),
    ]  # fmt: skip


def _faults(statuses: Counter[int]) -> int:
    return sum(count for status, count in statuses.items() if status >= 500 or status == 0)


def _refusals(statuses: Counter[int]) -> int:
    return sum(count for status, count in statuses.items() if 400 <= status < 500)


def _canaries(hits: int, control_found: bool) -> Result:
    return Result("member text in logs and metrics", "0 hits", f"{hits} hits", hits == 0,
                  "a word that is in both", control_found)  # fmt: skip


def _mutants() -> Iterator[bytes]:
    random_ = random.Random(0)
    while True:
        yield mutated(BODY, random_)


async def _statuses(url: str, bodies: Iterable[bytes], max_s: float = math.inf) -> Counter[int]:
    """Number of answers by status; status 0 is no answer. Stops sending after `max_s`."""
    statuses: Counter[int] = Counter()
    end = time.monotonic() + max_s
    remaining = takewhile(lambda _: time.monotonic() < end, bodies)
    async with Connections(url) as connections:

        async def client() -> None:
            for body in remaining:
                try:
                    statuses[(await connections.post("/score", body)).status] += 1
                except (OSError, BrokenAnswer):
                    statuses[0] += 1

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return statuses


Slow = tuple[float, float]


async def _slow(service: Started, size: Size) -> Slow:
    """Seconds until the last slow connection was closed, and the ratio of other clients' p99 with and without them."""
    quiet = await _p99(service.url, lambda: False, size.seconds / 2)
    closed = [asyncio.create_task(_drip(service.port, kind % 3)) for kind in range(size.slow)]
    busy = await _p99(service.url, lambda: all(task.done() for task in closed), CLOSED_S)
    return max(await asyncio.gather(*closed)), busy / quiet


async def _drip(port: int, kind: int) -> float:
    """Sends nothing, or a head or a body slowly. Seconds until the service closed, at most about `CLOSED_S`."""
    start = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write([b"", head, head + b"Content-Length: 1000\r\n\r\n"][kind])
    try:
        while time.monotonic() - start < CLOSED_S + 1:
            try:
                async with asyncio.timeout(0.5):
                    if not await reader.read(1 << 16):
                        break
            except TimeoutError:
                if kind:
                    writer.write(b"x: y\r\n" if kind == 1 else b" ")
    except OSError:
        pass
    writer.close()
    return time.monotonic() - start


async def _p99(url: str, done: Callable[[], bool], max_s: float) -> float:
    """p99 of one client's sequential requests, until `done` or for `max_s`."""
    seconds: list[float] = []
    end = time.monotonic() + max_s
    async with Connections(url) as connections:
        while time.monotonic() < end and not done():
            start = time.perf_counter()
            await connections.post("/score", BODY)
            seconds.append(time.perf_counter() - start)
    return quantile(seconds, 0.99)


def _connections(slow: Slow, stock: Slow, size: Size) -> Result:
    closed, slowdown = slow
    return Result(
        f"{size.slow} slow connections; p99 of other clients",
        f"closed in <= {CLOSED_S:.0f} s; <= {MAX_SLOWDOWN:.1f}x",
        f"{closed:.1f} s; {slowdown:.2f}x",
        closed <= CLOSED_S and slowdown <= MAX_SLOWDOWN,
        f"stock uvicorn: {'still open' if stock[0] > CLOSED_S else f'{stock[0]:.1f} s'}",
        stock[0] > CLOSED_S,
    )
