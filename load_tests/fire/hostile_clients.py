"""What callers send who mean harm, or do not know better: damaged bodies, no JSON, connections that never end."""

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
from load_tests.fire.mutate_json import damaged
from load_tests.fire.process import SERVICE, Started, started
from load_tests.fire.result import Figure, Size
from load_tests.report import quantile

STOCK = (sys.executable, "-m", "load_tests.fire.stock")
CANARY = "canary7c1f"
BODY = json.dumps({"member": {"text": f"chef {CANARY}"}, "candidates": [{"id": CANARY, "text": CANARY}]}).encode()
CLIENTS = 8
STOCK_BODIES = 5000
CLOSED_S = 15.0
WORSE = 1.2


async def hostile(bundle: Path, size: Size) -> list[Figure]:
    """Rows of bodies, of texts that are no JSON, of member text in logs and metrics, and of slow connections."""
    texts = invalid_texts()
    async with started(SERVICE, bundle=bundle) as service:
        fuzzed = await _statuses(service.url, islice(_mutants(), size.bodies), size.most_s)
        refused = await _statuses(service.url, texts)
        async with Connections(service.url) as connections:
            metrics = (await connections.get("/metrics")).body
        hits = (service.written() + metrics).count(CANARY.encode())
        sees = b"fitscore" in service.written() and b"fitscore" in metrics
        slow = await _slow(service, size)
    async with started(STOCK) as stock:
        stock_fuzzed = await _statuses(stock.url, islice(_mutants(), STOCK_BODIES))
        stock_refused = await _statuses(stock.url, texts)
        stock_slow = await _slow(stock, size)
    return [*_answered(fuzzed, refused, stock_fuzzed, stock_refused, len(texts)), _canaries(hits, sees),
            _connections(slow, stock_slow, size)]  # fmt: skip


def _answered(
    fuzzed: Counter[int], refused: Counter[int], stock_fuzzed: Counter[int], stock_refused: Counter[int], num: int
) -> list[Figure]:
    faults, stock_faults = _faults(fuzzed), _faults(stock_fuzzed)
    fours, stock_fours = _refusals(refused), _refusals(stock_refused)
    return [
        Figure(f"{fuzzed.total():,} mutated bodies", "0 x 5xx", f"{faults} x 5xx", faults == 0,
               f"stock FastAPI: {stock_faults} of {stock_fuzzed.total():,}", stock_faults > 0),
        Figure(f"{num} texts that are no JSON", "all 4xx", f"{fours} x 4xx", fours == num,
               f"stock FastAPI: {stock_fours}", stock_fours < num),
    ]  # fmt: skip


def _faults(statuses: Counter[int]) -> int:
    return sum(count for status, count in statuses.items() if status >= 500 or status == 0)


def _refusals(statuses: Counter[int]) -> int:
    return sum(count for status, count in statuses.items() if 400 <= status < 500)


def _canaries(hits: int, sees: bool) -> Figure:
    return Figure("member text in logs and metrics", "0 hits", f"{hits} hits", hits == 0,
                  "a word that stands in both", sees)  # fmt: skip


def _mutants() -> Iterator[bytes]:
    random_ = random.Random(0)
    while True:
        yield damaged(BODY, random_)


async def _statuses(url: str, bodies: Iterable[bytes], most_s: float = math.inf) -> Counter[int]:
    """How often each status was answered; 0 where there was no answer at all. No more are sent after `most_s`."""
    statuses: Counter[int] = Counter()
    end = time.monotonic() + most_s
    waiting = takewhile(lambda _: time.monotonic() < end, bodies)
    async with Connections(url) as connections:

        async def client() -> None:
            for body in waiting:
                try:
                    statuses[(await connections.post("/score", body)).status] += 1
                except (OSError, BrokenAnswer):
                    statuses[0] += 1

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return statuses


Slow = tuple[float, float]


async def _slow(service: Started, size: Size) -> Slow:
    """Seconds until the last of the slow connections was closed, and how much worse others' p99 got meanwhile."""
    quiet = await _p99(service.url, lambda: False, size.seconds / 2)
    closed = [asyncio.create_task(_drip(service.port, kind % 3)) for kind in range(size.slow)]
    busy = await _p99(service.url, lambda: all(task.done() for task in closed), CLOSED_S)
    return max(await asyncio.gather(*closed)), busy / quiet


async def _drip(port: int, kind: int) -> float:
    """Idle, a head or a body a byte at a time; seconds until the service closed, or more than it may take."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write([b"", head, head + b"Content-Length: 1000\r\n\r\n"][kind])
    try:
        while time.monotonic() - began < CLOSED_S + 1:
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
    return time.monotonic() - began


async def _p99(url: str, done: Callable[[], bool], most_s: float) -> float:
    """Of a careful caller's requests, one after the other, until `done` or for so long."""
    seconds: list[float] = []
    end = time.monotonic() + most_s
    async with Connections(url) as connections:
        while time.monotonic() < end and not done():
            began = time.perf_counter()
            await connections.post("/score", BODY)
            seconds.append(time.perf_counter() - began)
    return quantile(seconds, 0.99)


def _connections(slow: Slow, stock: Slow, size: Size) -> Figure:
    closed, worse = slow
    return Figure(
        f"{size.slow} slow connections; others' p99",
        f"closed in <= {CLOSED_S:.0f} s; <= {WORSE:.1f}x",
        f"{closed:.1f} s; {worse:.2f}x",
        closed <= CLOSED_S and worse <= WORSE,
        f"stock uvicorn: {'still open' if stock[0] > CLOSED_S else f'{stock[0]:.1f} s'}",
        stock[0] > CLOSED_S,
    )
