"""The wall clock jumps by hours and days: no deadline moves with it.

It jumps as this process reads it.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.http.request_limits import RequestLimits
from tests.support.fakes import GatedScorer, loading
from tests.support.service import Running, Serve
from tests.support.waiting import PATIENCE_S, eventually

HOUR_S, DAY_S = 3600.0, 86_400.0
JUMPS = (HOUR_S, -HOUR_S, DAY_S, -DAY_S)


def answered_across(running: Running, scorer: GatedScorer, jump: Callable[[], None]) -> list[int]:
    """Statuses of a request on the model and of one that waits, both with twenty seconds, while a clock jumps."""
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(running.score, deadline_ms=20_000)]
        assert scorer.began.wait(PATIENCE_S)
        asked.append(pool.submit(running.score, deadline_ms=20_000))
        eventually(lambda: running.app.parts.engine._queue.jobs != 0)
        jump()
        scorer.gate.set()
        return [each.result().status_code for each in asked]


def jump_of(seconds: float, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Sets the wall clock, as this process reads it."""
    wall, wall_ns = time.time, time.time_ns

    def jump() -> None:
        monkeypatch.setattr(time, "time", lambda: wall() + seconds)
        monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + int(seconds * 1e9))

    return jump


@pytest.mark.parametrize("seconds", JUMPS)
def test_a_jump_of_the_wall_clock_moves_no_deadline(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    scorer = GatedScorer()
    running = serve(load=loading(scorer))
    assert answered_across(running, scorer, jump_of(seconds, monkeypatch)) == [200, 200]


def test_a_jump_is_found_when_deadlines_use_the_wall_clock(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: deadlines and the engine's clock are those of the wall."""
    scorer = GatedScorer()
    running = serve(load=loading(scorer))
    monkeypatch.setattr(RequestLimits, "deadline", lambda *_: time.time() + 20)
    monkeypatch.setattr(running.app.parts.engine, "_clock", lambda: time.time())
    assert answered_across(running, scorer, jump_of(HOUR_S, monkeypatch)) == [200, 504]
