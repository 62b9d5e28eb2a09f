"""Overhead time: what a single small request takes beyond the model's own time, at the server and at the client."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from load_tests.client import Connections
from load_tests.payloads import Call, server_timing
from load_tests.report import Figure, at_most, quantile

P50_TARGET_MS = 1.5


@dataclass(frozen=True, slots=True)
class Overhead:
    """Milliseconds outside the model for each request: from Server-Timing, by stage, and by the client's clock."""

    server_ms: tuple[float, ...]
    client_ms: tuple[float, ...]
    stages_ms: Mapping[str, Sequence[float]]


async def measure_overhead(url: str, calls: Sequence[Call]) -> Overhead:
    """Sends requests sequentially on one connection; the first tenth is not counted."""
    server: list[float] = []
    client: list[float] = []
    by_stage: dict[str, list[float]] = defaultdict(list)
    async with Connections(url) as connections:
        for request in calls:
            start = time.perf_counter()
            answer = await connections.post(request.path, request.body)
            wall_ms = 1000 * (time.perf_counter() - start)
            stages = server_timing(answer.headers.get("server-timing", ""))
            if answer.status != 200 or "model" not in stages:
                raise RuntimeError(f"answered {answer.status}, Server-Timing {sorted(stages)}: needs 200 and `model`")
            model_ms = stages.pop("model")
            total_ms = stages.pop("total", model_ms + sum(stages.values()))
            server.append(total_ms - model_ms)
            client.append(wall_ms - model_ms)
            for stage, spent_ms in stages.items():
                by_stage[stage].append(spent_ms)
    cut = len(calls) // 10
    return Overhead(tuple(server[cut:]), tuple(client[cut:]), {name: each[cut:] for name, each in by_stage.items()})


def figures(overhead: Overhead) -> list[Figure]:
    """Gates on p50 of both clocks; the other figures show where the time goes."""
    found: list[Figure] = []
    for side, times in (("server", overhead.server_ms), ("client", overhead.client_ms)):
        name = f"overhead of a small request, ms, {side}"
        found.append(at_most(f"{name}, p50", quantile(times, 0.5), P50_TARGET_MS))
        found.append(Figure(f"{name}, p99", quantile(times, 0.99)))
    stages = overhead.stages_ms.items()
    return [*found, *(Figure(f"stage {stage}, ms, p50", quantile(spent, 0.5)) for stage, spent in stages)]
