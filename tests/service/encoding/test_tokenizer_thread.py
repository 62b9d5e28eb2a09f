"""Where texts are read: on the tokenizer thread, or at once where that takes less time than the way there."""

import asyncio
import threading
import time
from unittest.mock import Mock

import pytest

from service.batching.jobs import CostEstimate
from service.encoding.tokenization import INLINE_CHARS, INLINE_TEXTS, TokenizerThread
from service.request import Item, Priority, ScoringRequest
from tests.support.waiting import PATIENCE_S

SHORT = Item("a", "chef")
COST = CostEstimate(0.0, 0.0, 0.0)


def request_of(*candidates: Item) -> ScoringRequest:
    deadline = time.monotonic() + PATIENCE_S
    return ScoringRequest(Item("", "data engineer"), candidates, None, deadline, Priority.default)


def reads_at_once(thread: TokenizerThread, *candidates: Item) -> bool:
    """Whether a request is read on the event loop's own thread."""
    found = asyncio.run(thread.run(threading.get_ident, request_of(*candidates), COST))
    return found == threading.get_ident()


def tokenizer(*, inline: bool = True) -> TokenizerThread:
    return TokenizerThread(Mock(announced_ns=0), inline=inline)


@pytest.mark.parametrize(
    ("candidates", "at_once"),
    [
        ([SHORT], True),
        ([SHORT] * INLINE_TEXTS, True),
        ([SHORT] * (INLINE_TEXTS + 1), False),
        ([Item("a", "x" * INLINE_CHARS)], False),
        ([SHORT, Item("stored", None)], False),  # its text may be long
    ],
)
def test_only_few_and_short_texts_are_read_at_once(candidates: list[Item], at_once: bool) -> None:
    assert reads_at_once(tokenizer(), *candidates) is at_once


def test_nothing_is_read_at_once_where_a_store_may_wait() -> None:
    assert not reads_at_once(tokenizer(inline=False), SHORT)


def test_texts_are_read_by_one_thread_at_a_time() -> None:
    async def play() -> None:
        thread, began, gate = tokenizer(), threading.Event(), threading.Event()

        def long_work() -> None:
            began.set()
            assert gate.wait(PATIENCE_S)

        working = asyncio.create_task(thread.run_in_background(long_work))
        assert await asyncio.to_thread(began.wait, PATIENCE_S)
        second = asyncio.create_task(thread.run(threading.get_ident, request_of(SHORT), COST))
        await asyncio.sleep(0)
        assert not second.done()  # it waits its turn on the thread, and holds up nothing else
        gate.set()
        await working
        assert await second != threading.get_ident()

    asyncio.run(play())
