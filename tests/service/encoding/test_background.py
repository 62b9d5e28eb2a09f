"""What waits to be encoded at leisure: bounded, oldest first, and never before a request."""

import asyncio
import time
from collections.abc import Mapping
from typing import cast

import numpy as np
import pytest

from models.text import TokenIds
from service.batching.deadline_queue import DeadlineQueue
from service.batching.engine import EngineDead
from service.batching.jobs import Job, Operation
from service.encoding.background import BackgroundEncoder, BackgroundFull
from service.encoding.single_flight import Encoded, SingleFlight
from tests.support.batching import operation_of
from tests.support.fakes import empty_operations


class Noting:
    """Encodes nothing, and notes what it was given; after `most` calls the engine is dead."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.given: list[list[bytes]] = []
        self.whens: list[tuple[float, float]] = []

    async def encode(
        self, operation: Operation, wanted: Mapping[bytes, TokenIds], *, arrived: float, deadline: float
    ) -> Encoded:
        if len(self.given) == self._most:
            raise EngineDead
        self.given.append(list(wanted))
        self.whens.append((arrived, deadline))
        return Encoded({}, 0.0)


def ahead_of(noting: Noting, *, max_candidates: int = 100) -> BackgroundEncoder:
    return BackgroundEncoder(cast(SingleFlight, noting), max_candidates=max_candidates)


def texts(*names: str) -> dict[bytes, TokenIds]:
    return {name.encode(): np.ones(4, dtype=np.int32) for name in names}


def play(ahead: BackgroundEncoder) -> None:
    async def until_dead() -> None:
        await asyncio.wait_for(ahead.run(), 20.0)

    asyncio.run(until_dead())


def test_the_oldest_go_first_a_short_batch_at_a_time() -> None:
    noting, operations = Noting(2), empty_operations(room=2)
    ahead = ahead_of(noting)
    ahead.add(operations, texts("a", "b"))
    ahead.add(operations, texts("a", "c", "d", "e"))
    play(ahead)
    assert noting.given == [[b"a", b"b"], [b"c", b"d"]]


def test_a_batch_is_of_one_model() -> None:
    noting = Noting(2)
    ahead = ahead_of(noting)
    ahead.add(empty_operations(room=8), texts("a"))
    ahead.add(empty_operations(room=8), texts("b"))
    ahead.add(empty_operations(room=8), texts("c"))
    play(ahead)
    assert noting.given == [[b"a"], [b"b"]]


def test_what_does_not_fit_is_dropped_and_told_beforehand_to_who_asks() -> None:
    ahead, operations = ahead_of(Noting(0), max_candidates=3), empty_operations(room=8)
    assert ahead.add(operations, texts("a", "b")) == 0
    ahead.check_place(1, 0.5)
    with pytest.raises(BackgroundFull) as refused:
        ahead.check_place(3, 0.5)
    assert refused.value.retry_after_s == 1.0
    assert ahead.add(operations, texts("c", "d", "e")) == 2
    assert len(ahead) == 3


def test_what_was_encoded_meanwhile_or_for_another_model_does_not_wait() -> None:
    ahead, operations = ahead_of(Noting(0)), empty_operations(room=8)
    ahead.add(operations, texts("a", "b", "c"))
    ahead.discard([b"a", b"nobody"])
    assert len(ahead) == 2
    ahead.clear()
    assert len(ahead) == 0


def test_whatever_comes_later_goes_first() -> None:
    noting = Noting(1)
    ahead = ahead_of(noting)
    ahead.add(empty_operations(room=1), texts("a", "b"))
    play(ahead)
    [(arrived, deadline)] = noting.whens
    now = time.monotonic()
    works = [  # each in a operation of its own, or all would share a batch
        Job.of(operation_of(), [None], [4], arrived=arrived, deadline=deadline),
        Job.of(operation_of(), [None], [4], arrived=now + 60, deadline=now + 660),
        Job.of(operation_of(), [None], [4], arrived=now + 60, deadline=now + 60.2),
    ]
    queue = DeadlineQueue(max_overtake_s=0.5)
    order = []
    for work in works:
        queue.put(work)
    for _ in works:
        batch = queue.next_batch(now)
        order.append(batch.items[0].job if batch else None)
    assert order == works[::-1]
