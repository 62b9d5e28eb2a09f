"""A model run that never ends: every caller gets an answer, /livez fails, and the process can be stopped."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.poison_bundles import WORD, write_poison_bundle
from tests.support.service import CANDIDATES, MEMBER
from tests.support.service_process import process
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.process

DEADLINE_S = 5.0
SOUND = {"member": MEMBER, "candidates": CANDIDATES, "deadline_ms": 1000 * DEADLINE_S}
HANGING = {**SOUND, "candidates": [{"id": "bad", "text": WORD}]}


def timed(client: httpx.Client, body: dict[str, object]) -> tuple[int, float]:
    began = time.monotonic()
    status = client.post("/score", json=body).status_code
    return status, time.monotonic() - began


@pytest.mark.slow
def test_an_endless_graph_is_detected_and_every_caller_is_answered(tmp_path: Path) -> None:
    bundle = write_poison_bundle(tmp_path / "bundle", "loop")
    with process(BUNDLE=str(bundle), HANG_S="3") as (started, client):
        assert timed(client, SOUND)[0] == 200
        with ThreadPoolExecutor(4) as pool:
            answers = [pool.submit(timed, client, body) for body in (HANGING, SOUND, SOUND, SOUND)]
            for status, seconds in (each.result() for each in answers):
                assert status in (200, 503, 504)
                assert seconds < 4 * DEADLINE_S  # a slow machine may be late, but not without end
        eventually(lambda: client.get("/livez").status_code != 200)
        assert client.get("/readyz").status_code == 503
        assert timed(client, SOUND)[0] == 503
        started.send_signal(signal.SIGTERM)
        started.wait(PATIENCE_S)
