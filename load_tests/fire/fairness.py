"""Two products in one process: one is flooded, the other must not notice.

Both are the same bundle under two names, so that their requests cost the same. The control is a service that counts
every product as if it were alone.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from load_tests.client import Connections
from load_tests.fire.overload import DEADLINE_S, WARM, calls_of, offered, peak_of, share_in_time
from load_tests.fire.process import SERVICE, Started, started
from load_tests.fire.result import Result, Size
from load_tests.payloads import Call, call
from load_tests.report import Sample
from load_tests.server import DEADLINE_MS
from load_tests.traffic import RankingRequest, Text
from models.bundle.files import Bundle, save_bundle

CALM, FLOOD = 0.3, 5.0
"""Load of the two products, in multiples of the capacity."""
LEAST = 0.99
NAME = "calm"
UNFAIR = (
    sys.executable,
    "-c",
    "from service.admission import controller; controller.FairShares.num_active = lambda self, now: 1\n"
    "import sys; from service.__main__ import main; sys.exit(main())",
)


def named(each: Call) -> Call:
    """The request for the calm product."""
    return replace(each, body=json.dumps({**json.loads(each.body), "model": NAME}).encode())


async def fairness(bundle: Path, size: Size) -> list[Result]:
    """One result."""
    with tempfile.TemporaryDirectory() as folder:
        loaded, calm = Bundle.load(bundle), Path(folder) / NAME
        save_bundle(calm, loaded.manifest.model_copy(update={"name": NAME}), loaded.contents)
        fair, flood = await _shares(SERVICE, bundle, calm, size.seconds)
        unfair, _ = await _shares(UNFAIR, bundle, calm, size.seconds)
    return [
        Result(
            f"requests of a product at {CALM:g}x in time beside another at {FLOOD:g}x of the capacity",
            f">= {LEAST:.0%}",
            f"{fair:.2%} (the flooded product {flood:.0%})",
            fair >= LEAST,
            f"no shares: {unfair:.0%}",
            unfair < LEAST,
        )
    ]


async def _shares(command: Sequence[str], bundle: Path, calm: Path, seconds: float) -> tuple[float, float]:
    """The fraction of requests in time, of the calm and of the flooded product."""
    async with started(command, bundle=bundle, more_bundles=calm) as service:
        for model in (None, NAME):
            await _warm(service, model)
        peak = await peak_of(service.url, seconds)
        calls: list[Iterator[Call]] = [map(named, calls_of(31)), calls_of(32)]
        mine, other = await asyncio.gather(
            offered(service.url, calls[0], CALM * peak, seconds),
            offered(service.url, calls[1], FLOOD * peak, seconds, seed=2),
        )
    return share_in_time(_settled(mine, seconds)), share_in_time(other)


def _settled(samples: list[Sample], seconds: float) -> list[Sample]:
    """Without the first two deadlines: a product that was silent gets its share from its first request on."""
    return [sample for sample in samples if sample.intended >= min(2 * DEADLINE_S, seconds / 4)]


async def _warm(service: Started, model: str | None) -> None:
    """Store the candidates for one product, and have each scored once."""
    async with Connections(service.url) as connections:
        for batch in WARM.batches():
            stored = {"candidates": [{"id": each.id, "text": each.text} for each in batch], "model": model}
            answers = [await connections.put("/candidates", json.dumps(stored).encode())]
            one = call(RankingRequest(Text("warm", "warm"), WARM.as_sent(batch)), "score", DEADLINE_MS)
            answers.append(await connections.post(one.path, (one if model is None else named(one)).body))
            if [answer.status for answer in answers] != [200, 200]:
                raise RuntimeError(f"the candidates of {model or 'the default product'} could not be warmed")
