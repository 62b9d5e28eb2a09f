"""The load generator against a small server: samples, drops, broken answers, keep-alive."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from statistics import mean

import pytest

from load_tests.client import BrokenAnswer, Connections
from load_tests.open_loop import Limits, arrivals, closed_loop, open_loop
from load_tests.payloads import Call
from tests.support.waiting import eventually_here


class EchoServer:
    """Answers each request with its own body, in a way that the body selects."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.num_connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                length = int(head.lower().split("content-length:")[1].split("\r\n")[0])
                body = await reader.readexactly(length)
                if body.startswith(b"hang"):
                    await self.gate.wait()
                if body.startswith(b"cut"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nless")
                    break
                if body.startswith(b"chunks"):
                    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    writer.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
                    continue
                if body.startswith(b"last"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast")
                    break
                status = b"503 Busy" if body.startswith(b"busy") else b"200 OK"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n\r\n" % length + body)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def started() -> AsyncIterator[tuple[str, EchoServer]]:
    echo = EchoServer()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", echo
        echo.gate.set()


def asking(body: bytes, num_pairs: int = 1) -> Call:
    return Call("/score", body, num_pairs)


def test_arrivals_are_poisson_sorted_and_the_same_from_the_same_seed() -> None:
    times = arrivals(rate=50, seconds=100, seed=1)
    assert times == arrivals(rate=50, seconds=100, seed=1) == sorted(times)
    assert times[-1] < 100
    assert 4700 < len(times) < 5300
    gaps = [later - earlier for earlier, later in pairwise(times)]
    # Of an exponential distribution the standard deviation is the mean.
    assert mean(gap**2 for gap in gaps) == pytest.approx(2 * mean(gaps) ** 2, rel=0.1)


def test_each_arrival_gives_one_sample_with_its_outcome() -> None:
    async def scenario() -> Counter[str]:
        async with started() as (url, _):
            calls = [asking(b'"scored"'), asking(b"busy"), asking(b"cut")]
            samples = await open_loop(url, calls, [0.0, 0.01, 0.02, 0.03], Limits())
        assert sum(sample.num_scored for sample in samples) == 2
        assert all(sample.done >= sample.sent >= sample.intended for sample in samples)
        return Counter(sample.outcome for sample in samples)

    assert asyncio.run(scenario()) == {"200": 2, "503": 1, "no_answer": 1}


def test_arrivals_above_the_limit_in_flight_are_dropped_and_counted() -> None:
    async def scenario() -> Counter[str]:
        async with started() as (url, _):
            samples = await open_loop(url, [asking(b"hang")], [0.0] * 5, Limits(in_flight=2, timeout_s=0.2))
        return Counter(sample.outcome for sample in samples)

    assert asyncio.run(scenario()) == {"dropped": 3, "timeout": 2}


def test_closed_loop_keeps_its_clients_and_their_connections() -> None:
    async def scenario() -> tuple[int, int]:
        async with started() as (url, echo):
            samples = await closed_loop(url, [asking(b'"scored"')], clients=3, seconds=0.1, limits=Limits())
            return len(samples), echo.num_connections

    num_samples, num_connections = asyncio.run(scenario())
    assert num_samples > 3
    assert num_connections <= 3


def test_a_connection_recovers_after_a_broken_answer_and_reads_chunks() -> None:
    async def scenario() -> None:
        async with started() as (url, _), Connections(url) as connections:
            with pytest.raises(BrokenAnswer):
                await connections.post("/score", b"cut")
            assert (await connections.post("/score", b"chunks")).body == b"abcde"
            assert (await connections.post("/score", b"next")).body == b"next"

    asyncio.run(scenario())


def test_an_idle_connection_closed_by_the_server_is_opened_again() -> None:
    async def scenario() -> int:
        async with started() as (url, echo), Connections(url) as connections:
            assert (await connections.post("/score", b"last")).body == b"last"
            (idle,) = connections._idle
            streams = idle._streams
            assert streams is not None
            await eventually_here(streams[0].at_eof)
            assert (await connections.post("/score", b"next")).body == b"next"
            return echo.num_connections

    assert asyncio.run(scenario()) == 2
