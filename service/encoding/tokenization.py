"""Texts of members and candidates, token ids of pairs, and the thread that makes both. Knows no queues and no HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from models.errors import StoreDown
from models.template import Content
from models.text import Pair
from service.batching.engine import Engine
from service.batching.jobs import CostEstimate, Operation
from service.batching.latency_correction import LatencyCorrection
from service.encoding.inputs import Prepared
from service.encoding.token_cache import TokenCache
from service.errors import DeadlinePassed, FieldError, Invalid
from service.registry.loading import LiveModel
from service.request import Item, ItemStatus, ScoringRequest
from service.store.interface import TextStore

T = TypeVar("T")
# Seconds to look up or tokenise one text, before any has been measured.
DEFAULT_TEXT_S = 5e-5
# In English job texts, by WordPiece.
CHARS_PER_TOKEN = 4.5


class TokenizerThread:
    """The one thread that renders, looks up and tokenises texts. Measures the time per text."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        self.text_s = LatencyCorrection(default=DEFAULT_TEXT_S)
        """Seconds per text."""

    async def run(self, work: Callable[[], T], request: ScoringRequest, estimate: CostEstimate) -> T:
        """The result of `work` on a request's texts. Raises DeadlinePassed if its turn comes after the deadline."""
        expected_ns = round(1e9 * (estimate.prepare_s + estimate.encode_s + estimate.score_s))

        def timed() -> tuple[T, float]:
            began = time.monotonic()
            if began >= request.deadline:
                raise DeadlinePassed
            return work(), time.monotonic() - began

        self._engine.announced_ns += expected_ns  # until its jobs are in the queue, admission sees the request here
        try:
            result, seconds = await asyncio.get_running_loop().run_in_executor(self._executor, timed)
        finally:
            self._engine.announced_ns -= expected_ns
        self.text_s.note(time.monotonic(), predicted=1 + len(request.candidates), measured=seconds)
        return result

    async def run_in_background(self, work: Callable[[], T]) -> T:
        """The result of `work` for no request: it has no deadline and is not measured."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """End the thread without waiting for it."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class TextReader:
    """Looks up candidates by id, renders and tokenises. One thread at a time."""

    def __init__(self, store: TextStore, cache: TokenCache) -> None:
        self._store = store
        self._cache = cache

    def contents(self, candidates: Sequence[Item]) -> tuple[list[Content | None], ItemStatus]:
        """The content of each candidate, and the status of those that came with an id alone and are not stored."""
        ids = [each.id for each in candidates if each.content is None]
        if not ids:
            return [each.content for each in candidates], ItemStatus.unknown_candidate
        try:
            found = iter(self._store.get_many(ids))
        except StoreDown:
            return [each.content for each in candidates], ItemStatus.store_down
        contents = [next(found) if each.content is None else each.content for each in candidates]
        return contents, ItemStatus.unknown_candidate

    def pairs(self, model: LiveModel, operation: Operation, member: Item, candidates: Sequence[Item]) -> Prepared:
        """Pairs of the member with each candidate that has a text. Raises Invalid for a member without one."""
        ids = model.encoder.member(member_text(model, member))
        texts: list[str] = []
        places: list[list[int]] = []
        refused: dict[int, ItemStatus] = {}
        contents, unstored = self.contents(candidates)
        for place, content in enumerate(contents):
            text = "" if content is None else model.template.render_candidate(content)
            if text:
                texts.append(text)
                places.append([place])
            else:
                refused[place] = unstored if content is None else ItemStatus.invalid
        encoded = self._cache.encode(model.text_key, texts, model.encoder.candidates)
        pairs = [Pair(ids, each) for each in encoded]
        return Prepared(operation, pairs, [len(pair) for pair in pairs], places, refused)


def member_text(model: LiveModel, member: Item) -> str:
    """The text that the model reads of a member. Raises Invalid without one."""
    text = model.template.render_member(member.content)
    if not text:
        raise Invalid("the member has no text", errors=[FieldError("/member", "has no text")])
    return text


def estimate_tokens(item: Item, longest: int) -> int:
    """Tokens of a text by its characters; `longest` if its content is not known yet."""
    if item.content is None:
        return longest
    return min(longest, 2 + int(item.num_chars / CHARS_PER_TOKEN))
