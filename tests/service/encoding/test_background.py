"""Background encoding: bounded, oldest first, and never before a request."""

import asyncio
import time
from collections.abc import Mapping
from typing import cast
from unittest.mock import Mock

import numpy as np
import pytest

from models.text import TokenIds
from service.batching.deadline_queue import DeadlineQueue
from service.batching.engine import EngineDead
from service.batching.jobs import Job, Operation
from service.encoding.background import BackgroundEncoder
from service.encoding.single_flight import Encoded, SingleFlight
from service.errors import Overloaded
from service.registry.loading import LiveModel
from service.registry.operations import SplitOperations
from tests.support.batching import operation_of
from tests.support.fakes import empty_operations


class Recording:
    """Encodes nothing, and records its calls; after `most` calls the engine is dead."""

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


class Background(BackgroundEncoder):
    """Without texts: only token ids are added."""

    def __init__(self, recording: Recording, *, max_candidates: int = 100) -> None:
        self.num_dropped = 0
        flight = cast(SingleFlight, recording)
        super().__init__(flight, Mock(), Mock(), max_candidates=max_candidates, dropped=self.drop)

    def drop(self, num_candidates: int) -> None:
        self.num_dropped += num_candidates


def texts(*names: str) -> dict[bytes, TokenIds]:
    return {name.encode(): np.ones(4, dtype=np.int32) for name in names}


def play(background: BackgroundEncoder) -> None:
    async def until_dead() -> None:
        await asyncio.wait_for(background.run(), 20.0)

    asyncio.run(until_dead())


def test_the_oldest_texts_go_first_in_short_batches() -> None:
    recording, operations = Recording(2), empty_operations(room=2)
    background = Background(recording)
    background.add(operations, texts("a", "b"))
    background.add(operations, texts("a", "c", "d", "e"))
    play(background)
    assert recording.given == [[b"a", b"b"], [b"c", b"d"]]


def test_a_background_batch_belongs_to_one_model() -> None:
    recording = Recording(2)
    background = Background(recording)
    background.add(empty_operations(room=8), texts("a"))
    background.add(empty_operations(room=8), texts("b"))
    background.add(empty_operations(room=8), texts("c"))
    play(background)
    assert recording.given == [[b"a"], [b"b"]]


def model_of(operations: SplitOperations) -> LiveModel:
    return cast(LiveModel, Mock(operations=operations, encoder=Mock(longest_candidate=4)))


def test_a_full_queue_rejects_a_check_with_a_retry_delay_and_drops_what_is_added() -> None:
    background, operations = Background(Recording(0), max_candidates=3), empty_operations(room=1)
    background.use(model_of(operations))
    background.add(operations, texts("a", "b"))
    background.check_room(1)
    with pytest.raises(Overloaded) as rejection:
        background.check_room(3)
    assert rejection.value.retry_after_s == pytest.approx(2 * 4 * 0.001)  # a millisecond per token
    background.add(operations, texts("c", "d", "e"))
    assert (background.waiting, background.num_dropped) == (3, 2)


def test_without_a_split_model_no_candidate_waits_and_no_check_fails() -> None:
    background = Background(Recording(0), max_candidates=1)
    background.check_room(1000)


def test_texts_that_a_request_encoded_or_that_belong_to_another_model_do_not_wait() -> None:
    background, operations = Background(Recording(0)), empty_operations(room=8)
    background.add(operations, texts("a", "b", "c"))
    background.discard([b"a", b"unknown"])
    assert background.waiting == 2
    background.use(model_of(operations))
    assert background.waiting == 0


def test_later_jobs_of_requests_go_first() -> None:
    recording = Recording(1)
    background = Background(recording)
    background.add(empty_operations(room=1), texts("a", "b"))
    play(background)
    [(arrived, deadline)] = recording.whens
    now = time.monotonic()
    jobs = [  # each with an operation of its own, or all would share a batch
        Job(operation_of(), [None], [4], arrived=arrived, deadline=deadline),
        Job(operation_of(), [None], [4], arrived=now + 60, deadline=now + 660),
        Job(operation_of(), [None], [4], arrived=now + 60, deadline=now + 60.2),
    ]
    queue = DeadlineQueue(max_overtake_s=0.5)
    order = []
    for job in jobs:
        queue.put(job)
    for _ in jobs:
        batch = queue.next_batch(now)
        order.append(batch.items[0].job if batch else None)
    assert order == jobs[::-1]
