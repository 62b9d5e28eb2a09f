"""The service's overhead beside its model, in short (`make bench` has the details). The control is a delay."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load_tests.bare_onnx_baseline import BareLoop, RunLog
from load_tests.fire.overload import WARM
from load_tests.fire.process import started
from load_tests.fire.result import Result, Size
from load_tests.overhead import measure_overhead
from load_tests.payloads import Call, call
from load_tests.report import quantile
from load_tests.server import DEADLINE_MS
from load_tests.throughput import Load, one_round
from load_tests.traffic import Mix, first
from load_tests.warm_lists import WarmTraffic, warm
from models.bundle.files import Bundle

MIN_RATIO = 0.90
MAX_P50_MS, MAX_P99_MS = 1.5, 5.0
DELAY_MS = 60.0
NUM_LISTS = 100
SINGLE = WarmTraffic(WARM.fixed, Mix(sizes=(1,), size_weights=(1.0,)), by_id=True)


@dataclass(frozen=True, slots=True)
class Speed:
    """Pairs/s relative to the bare loop; milliseconds of a small request outside the model."""

    ratio: float
    p50_ms: float
    p99_ms: float


async def speed(bundle: Path, size: Size) -> list[Result]:
    """The results of throughput and overhead."""
    measured, delayed = await _speed(bundle, size, 0.0), await _speed(bundle, size, DELAY_MS)
    slow = f"delay of {DELAY_MS:.0f} ms in each run and each text"
    return [
        Result("saturated pairs/s, relative to the bare loop", f">= {MIN_RATIO:.0%}",
               f"{measured.ratio:.0%}", measured.ratio >= MIN_RATIO,
               f"{slow}: {delayed.ratio:.0%}", delayed.ratio < MIN_RATIO),
        Result("overhead of a request with one warm candidate, p50; p99", f"<= {MAX_P50_MS:g}; <= {MAX_P99_MS:g} ms",
               f"{measured.p50_ms:.2f}; {measured.p99_ms:.2f} ms",
               measured.p50_ms <= MAX_P50_MS and measured.p99_ms <= MAX_P99_MS,
               f"{slow}: {delayed.p50_ms:.1f} ms", delayed.p50_ms > MAX_P50_MS),
    ]  # fmt: skip


async def _speed(bundle: Path, size: Size, delay_ms: float) -> Speed:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "runs.jsonl"
        command = (sys.executable, "-m", "load_tests.recorded_service", "--log", str(log), "--delay-ms", str(delay_ms))
        settings: dict[str, Any] = {"default_deadline_ms": DEADLINE_MS, "max_backlog_s": 600, "hang_s": 120}
        async with started(command, bundle=bundle, **settings) as service:
            await warm(service.url, SINGLE)
            times = (
                await measure_overhead(service.url, list(_singles(math.ceil((4 if delay_ms else 20) * size.seconds))))
            ).server_ms
            bare = BareLoop(Bundle.load(bundle), RunLog(log).threads())
            calls = [call(request, "score", DEADLINE_MS) for request in first(Mix(), NUM_LISTS)]
            load = Load(8, size.seconds / 4, size.seconds)
            ratio = (await one_round(service.url, calls, RunLog(log), bare, load)).ratio
    return Speed(ratio, quantile(times, 0.5), quantile(times, 0.99))


def _singles(num: int) -> Iterator[Call]:
    calls = SINGLE.calls(3)
    return (next(calls) for _ in range(num))
