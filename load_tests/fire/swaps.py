"""Model swaps under load: no request is lost, and every score comes from the version that the answer names.

The versions are the same bundle with shifted calibration, so that each scores a pair differently. The service keeps
one former version in memory: with three versions, a third of the swaps load a bundle.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, repeat
from pathlib import Path

from load_tests.client import Answer, BrokenAnswer, Connections
from load_tests.fire.overload import WARM, calls_of, peak_of
from load_tests.fire.process import SERVICE, Started, started
from load_tests.fire.result import Result, Size
from load_tests.open_loop import arrivals
from load_tests.warm_lists import warm
from models.bundle.files import Bundle, save_bundle
from models.bundle.manifest import Manifest

FAULTY = (sys.executable, "-m", "load_tests.fire.faulty_service")
VERSIONS = ("1", "2", "3")
ORDER = "212131"
FAULTY_SWAPS = 5
PROBES_PER_S = 20.0
LONGEST_S = 3600.0
TIME_FACTOR = 3.0
"""Swaps may take this multiple of `max_s`."""
DEADLINE_S = 20.0
STEP = 0.7
"""Difference of logits between successive versions."""
TOLERANCE = 0.01
LOAD = 0.7
LIST = json.dumps(
    {
        "member": {"text": "Data engineer. python, spark, airflow"},
        "candidates": [
            {"id": "a", "text": "Senior data engineer. Own our data platform"},
            {"id": "b", "text": "Database administrator. Keep our databases safe"},
            {"id": "c", "text": "Pastry chef. Bake for a small hotel"},
        ],
    }
).encode()
Scores = Sequence[float]


@dataclass(frozen=True, slots=True)
class Swapped:
    """Numbers of requests, probes and swaps, of failed ones, and of probes with another version's scores."""

    requests: int
    probes: int
    errors: int
    swaps: int
    refused: int
    mismatched: int


async def swaps(bundle: Path, size: Size) -> list[Result]:
    """One result."""
    with tempfile.TemporaryDirectory() as folder:
        live = write_versions(bundle, Path(folder))
        measured = await _swapped(SERVICE, live, size.swaps, size)
        faulty = await _swapped(FAULTY, live, FAULTY_SWAPS, size)
    return [
        Result(
            f"{measured.swaps} swaps at {LOAD:.0%} load, {measured.requests:,} requests",
            "0 errors, 0 mismatched",
            f"{measured.errors} errors, {measured.refused} swaps refused,"
            f" {measured.mismatched} of {measured.probes:,} mismatched",
            measured.errors == measured.refused == measured.mismatched == 0,
            f"version read at the end of a request: {faulty.mismatched} of {faulty.probes:,} mismatched",
            faulty.mismatched > 0,
        )
    ]


def write_versions(bundle: Path, folder: Path) -> Path:
    """Write one bundle for each version; returns the first."""
    loaded = Bundle.load(bundle)
    for number, version in enumerate(VERSIONS):
        save_bundle(folder / f"v{version}", recalibrated(loaded.manifest, STEP * number, version), loaded.contents)
    return folder / f"v{VERSIONS[0]}"


def recalibrated(manifest: Manifest, shift: float, version: str) -> Manifest:
    """The manifest with every calibrated logit raised by `shift`."""
    moved = [
        head.calibration.model_copy(update={"intercept": head.calibration.intercept + shift}) for head in manifest.heads
    ]
    heads = [head.model_copy(update={"calibration": each}) for head, each in zip(manifest.heads, moved, strict=True)]
    answers = [
        each.model_copy(update={"probabilities": tuple(_shifted(p, shift) for p in each.probabilities)})
        for each in manifest.known_answers
    ]
    return manifest.model_copy(update={"version": version, "heads": tuple(heads), "known_answers": tuple(answers)})


def _shifted(probability: float, shift: float) -> float:
    return 1 / (1 + math.exp(-shift) * (1 / probability - 1))


async def _swapped(command: Sequence[str], live: Path, num: int, size: Size) -> Swapped:
    async with started(command, bundle=live, max_backlog_s=60, default_deadline_ms=30_000) as service:
        await warm(service.url, WARM)
        expected = await _expected(service)
        peak = await peak_of(service.url, min(5.0, size.seconds))
        over = asyncio.Event()
        new = (each.body for each in calls_of(5, DEADLINE_S))
        asking = asyncio.gather(
            _load(service, new, LOAD * peak, over), _load(service, repeat(LIST), PROBES_PER_S, over)
        )
        refused = await _swap(service, num, TIME_FACTOR * size.max_s)
        over.set()
        background, probes = await asking
    answers = [*background, *probes]
    mismatched = sum(
        answer is not None and answer.status == 200 and not belongs(answer.body, expected) for answer in probes
    )
    errors = sum(answer is None or answer.status != 200 for answer in answers)
    return Swapped(len(answers), len(probes), errors, len(refused), sum(refused), mismatched)


async def _swap(service: Started, num: int, max_s: float) -> list[bool]:
    """Whether each of `num` swaps was refused. Starts no swap after `max_s`."""
    end = time.monotonic() + max_s
    refused: list[bool] = []
    for version, _ in zip(cycle(ORDER), range(num), strict=False):
        refused.append(await _activate(service, version) != 200)
        if time.monotonic() > end:
            break
    return refused


async def _expected(service: Started) -> dict[str, Scores]:
    """Each version's scores of the list: measured for the first version, computed for the others."""
    async with Connections(service.url) as connections:
        scores = scores_of((await connections.post("/score", LIST)).body)
    return {version: [_shifted(each, STEP * number) for each in scores] for number, version in enumerate(VERSIONS)}


async def _activate(service: Started, version: str) -> int:
    async with Connections(service.url) as connections:
        return (await connections.post(f"/v1/models/{version}:activate", b"")).status


async def _load(service: Started, bodies: Iterator[bytes], rate: float, over: asyncio.Event) -> list[Answer | None]:
    """Poisson arrivals until `over` is set; None for a request without an answer."""
    tasks: list[asyncio.Task[Answer | None]] = []
    loop = asyncio.get_running_loop()
    async with Connections(service.url) as connections:
        start = loop.time()
        for intended, body in zip(arrivals(rate, LONGEST_S, 0), bodies, strict=False):
            await asyncio.sleep(max(0.0, start + intended - loop.time()))
            if over.is_set():
                break
            tasks.append(asyncio.create_task(_post(connections, body)))
        return await asyncio.gather(*tasks)


async def _post(connections: Connections, body: bytes) -> Answer | None:
    try:
        return await connections.post("/score", body)
    except (OSError, BrokenAnswer):
        return None


def scores_of(body: bytes) -> Scores:
    """Scores of an answer, in order; NaN where there is none."""
    return [math.nan if each["score"] is None else each["score"] for each in json.loads(body)["scores"]]


def belongs(body: bytes, expected: Mapping[str, Scores]) -> bool:
    """Whether the scores are those of the version that the answer names."""
    of_version = expected[json.loads(body)["model"]["version"]]
    return all(abs(one - other) < TOLERANCE for one, other in zip(scores_of(body), of_version, strict=True))
