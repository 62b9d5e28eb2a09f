"""Ten times the capacity, over the wire: work goes on, and after the flood every request is accepted again.

`tests/service/admission/test_overload.py` holds the figures, in virtual time; `make fire` has those of the model.
"""

import asyncio
import json
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from load_tests.open_loop import Limits, arrivals, open_loop
from load_tests.payloads import Call
from load_tests.report import Sample
from tests.support.fakes import SumScorer, loading
from tests.support.service import MEMBER, Listening, ServeOnPort
from tests.support.waiting import eventually

pytestmark = pytest.mark.process

RUN_S = 0.05
PER_S = 1 / RUN_S
SECONDS = 3.0
DEADLINE_MS = 1000


def slow(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    time.sleep(RUN_S)  # the model is busy, and needs no processor for it
    return rows


def one(deadline_ms: int) -> Call:
    body = {"member": MEMBER, "candidates": [{"id": "a", "text": "pastry chef"}], "deadline_ms": deadline_ms}
    return Call("/score", json.dumps(body).encode(), 1)


def flooded(serve_on_port: ServeOnPort, deadline_ms: int, **settings: object) -> tuple[Listening, list[Sample]]:
    """A service under ten times its capacity, and the outcome of each request."""
    running = serve_on_port(load=loading(SumScorer(slow), run_s=RUN_S), **settings)
    url = str(running.client.base_url)
    times = arrivals(10 * PER_S, SECONDS, seed=0)
    samples = asyncio.run(open_loop(url, [one(deadline_ms)], times, Limits(in_flight=2000, timeout_s=2.0)))
    return running, samples


def in_time(samples: list[Sample]) -> int:
    return sum(each.outcome == "200" and each.latency <= DEADLINE_MS / 1000 for each in samples)


@pytest.mark.slow
def test_a_flood_is_refused_and_leaves_no_backlog(serve_on_port: ServeOnPort) -> None:
    running, samples = flooded(serve_on_port, DEADLINE_MS)
    assert {each.outcome for each in samples} <= {"200", "503", "504"}
    assert in_time(samples) >= 0.5 * PER_S * SECONDS  # a loaded machine may be slow, but does not collapse
    assert sum(each.outcome == "503" for each in samples) > len(samples) / 2
    eventually(lambda: running.app.parts.engine.backlog_seconds() <= 0)
    assert all(running.score(deadline_ms=10_000).status_code == 200 for _ in range(3))


@pytest.mark.slow
def test_without_admission_few_answers_are_in_time(serve_on_port: ServeOnPort) -> None:
    """The negative control: all say that they have ten minutes, and all are believed."""
    _, samples = flooded(serve_on_port, 600_000, max_backlog_s=3600)
    assert in_time(samples) < 0.5 * PER_S * SECONDS
