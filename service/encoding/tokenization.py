"""Texts of members and candidates, token ids of pairs, and the thread that makes both. Knows no queues and no HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from models.errors import FieldError as UnreadableField
from models.errors import StoreDown
from models.features import FeatureRows, merged
from models.template import NO_NAME, Content
from models.text import Pair, ReadText, TextEncoder, TokenCounts, Window
from service.batching.engine import Engine
from service.batching.jobs import CostEstimate, Operation
from service.batching.latency_correction import LatencyCorrection
from service.encoding.inputs import Prepared, Readings
from service.encoding.token_cache import TokenCache
from service.errors import DeadlinePassed, FieldError, Invalid
from service.registry.loading import LiveModel
from service.request import Item, ItemStatus, ScoringRequest
from service.store.interface import Featured, TextStore

T = TypeVar("T")
# Seconds to look up or tokenise one text, before any has been measured.
DEFAULT_TEXT_S = 5e-5
# Texts that are read on the event loop: at about a microsecond a character, less than two changes of thread.
INLINE_TEXTS, INLINE_CHARS = 8, 2000
# A candidate with more fields is not read: rendering sorts their names.
MAX_FIELDS = 100
# In English job texts, by WordPiece.
CHARS_PER_TOKEN = 4.5


class TokenizerThread:
    """The one thread that renders, looks up and tokenises texts. Measures the time per text.

    A few short texts take less time than the way to that thread and back: where `inline` allows it and the thread is at
    rest, they are read at once. Not where a store may wait for a disk or a network.
    """

    def __init__(self, engine: Engine, *, inline: bool = False) -> None:
        self._engine = engine
        self._inline = inline
        self._at_work = threading.Lock()  # held during each piece of work: caches are used by one thread at a time
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
            if self._inline and _is_short(request) and self._at_work.acquire(blocking=False):
                try:
                    result, seconds = timed()
                finally:
                    self._at_work.release()
            else:
                result, seconds = await self.run_in_background(timed)
        finally:
            self._engine.announced_ns -= expected_ns
        self.text_s.note(time.monotonic(), predicted=1 + len(request.candidates), measured=seconds)
        return result

    async def run_in_background(self, work: Callable[[], T]) -> T:
        """The result of `work` on the thread; for no request, it has no deadline and is not measured."""

        def alone() -> T:
            with self._at_work:
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._executor, alone)

    def close(self) -> None:
        """End the thread without waiting for it."""
        self._executor.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Contents:
    """The content of each candidate; the status of those that came with an id alone and are not stored; and the
    features that are stored with some, by place.
    """

    contents: list[Content | None]
    unstored: ItemStatus
    features: Mapping[int, Mapping[str, float]]

    def feature_rows(self, model: LiveModel, candidates: Sequence[Item]) -> FeatureRows | None:
        """The model's inputs: a value of the request counts before a stored one. None if there are no features at all.

        The content of a candidate with a fault becomes empty, so that nothing is encoded for it.
        """
        if not (model.features.declared or self.features or any(each.features for each in candidates)):
            return None
        sent = [each.features for each in candidates]
        for place, stored in self.features.items():
            sent[place] = merged(stored, sent[place])
        rows = model.features.read(sent)
        for place in rows.faults:
            if self.contents[place] is not None:
                self.contents[place] = ""
        return rows


def _is_short(request: ScoringRequest) -> bool:
    """Whether a request has few and short texts. What is stored under an id may be long."""
    candidates = request.candidates
    if len(candidates) > INLINE_TEXTS or any(each.content is None for each in candidates):
        return False
    return request.member.num_chars + sum(each.num_chars for each in candidates) <= INLINE_CHARS


class TextReader:
    """Looks up candidates by id, renders and tokenises. One thread at a time.

    Of a longer text, `max_chars` are read, at the start or, if the window is there, at the end.
    """

    def __init__(self, store: TextStore, cache: TokenCache, max_chars: int) -> None:
        self._store = store
        self._cache = cache
        self._max_chars = max_chars

    def contents(self, candidates: Sequence[Item]) -> Contents:
        """What is known of each candidate, from the request or from the store."""
        ids = [each.id for each in candidates if each.content is None]
        if not ids:
            return Contents([each.content for each in candidates], ItemStatus.unknown_candidate, {})
        try:
            found = iter(self._store.get_many(ids))
        except StoreDown:
            return Contents([each.content for each in candidates], ItemStatus.store_down, {})
        contents: list[Content | None] = []
        features: dict[int, Mapping[str, float]] = {}
        for place, each in enumerate(candidates):
            stored = next(found) if each.content is None else each.content
            if isinstance(stored, Featured):
                features[place] = stored.features
                stored = stored.content
            contents.append(stored)
        return Contents(contents, ItemStatus.unknown_candidate, features)

    def member_text(self, model: LiveModel, member: Item) -> str:
        """The text that the model reads of a member. Raises Invalid without one."""
        text = model.template.render_member(member.content)[: self._max_chars]
        if not text:
            raise _no_member_text()
        return text

    def candidate_text(self, model: LiveModel, content: Content | None, window: Window) -> str:
        """The text that the model reads of a candidate; empty without one. Raises UnreadableField."""
        if isinstance(content, dict) and len(content) > MAX_FIELDS:
            raise UnreadableField(next(iter(content)), f"is one of more than {MAX_FIELDS} fields")
        text = model.template.render_candidate(content)
        return text[-self._max_chars :] if window.from_end else text[: self._max_chars]

    def pairs(self, model: LiveModel, operation: Operation, request: ScoringRequest) -> Prepared:
        """Pairs of the member with each candidate that can be read. Raises Invalid for a member that cannot."""
        member = read_member(model, self.member_text(model, request.member))
        found = self.contents(request.candidates)
        features = found.feature_rows(model, request.candidates)
        contents = found.contents
        window = model.encoder.effective(request.window)
        texts, faults = self._texts(model, contents, window)
        places = [place for place, text in enumerate(texts) if text]
        read = model.encoder.read_candidates
        encoded = self._cache.read(model.text_key, [texts[place] for place in places], read, window)
        counts = {place: text.counts for place, text in zip(places, encoded, strict=True)}
        readable = {place: text for place, text in zip(places, encoded, strict=True) if text.counts.readable}
        pairs = [Pair(member.ids, ids) for text in readable.values() for ids in text.chunks]
        refused = {
            place: found.unstored if content is None else ItemStatus.invalid
            for place, content in enumerate(contents)
            if place not in readable
        }
        readings = readings_of(model, request.member, member.counts, contents, counts, faults, features)
        owners = [[place] for place, text in readable.items() for _ in text.chunks]
        return Prepared(operation, pairs, list(map(len, pairs)), owners, refused, readings)

    def _texts(
        self, model: LiveModel, contents: Sequence[Content | None], window: Window
    ) -> tuple[list[str], dict[int, UnreadableField]]:
        """The text of each candidate, empty without one; and why a candidate cannot become a text, by place."""
        texts: list[str] = []
        faults: dict[int, UnreadableField] = {}
        for place, content in enumerate(contents):
            try:
                texts.append(self.candidate_text(model, content, window))
            except UnreadableField as fault:
                faults[place] = fault
                texts.append("")
        return texts, faults


def read_member(model: LiveModel, text: str) -> ReadText:
    """A member's ids and counts. Raises Invalid if the model can read nothing of the text."""
    member = model.encoder.read_member(text)
    if not member.counts.readable:
        raise _no_member_text()
    return member


def _no_member_text() -> Invalid:
    return Invalid(errors=[FieldError("/member", "has no text that the model can read")])


def readings_of(
    model: LiveModel,
    member: Item,
    member_counts: TokenCounts,
    contents: Sequence[Content | None],
    counts: Mapping[int, TokenCounts],
    faults: Mapping[int, UnreadableField],
    features: FeatureRows | None,
) -> Readings:
    """How a request is read; `contents`, `counts`, `faults` and `features` are those of its candidates."""
    template, known = model.template, model.template.candidate_names
    unknown_fields: dict[int, Sequence[str]] = {}
    for place, content in enumerate(contents):
        if not isinstance(content, dict) or known.issuperset(content):
            continue
        if names := sorted(content.keys() - known - {NO_NAME}):
            unknown_fields[place] = names
    own = member.content.keys() - template.member_names if isinstance(member.content, dict) else ()
    return Readings(member_counts, sorted(own), counts, unknown_fields, faults, features)


def estimate_tokens(item: Item, longest: int) -> int:
    """Tokens of a text by its characters; `longest` if its content is not known yet."""
    if item.content is None:
        return longest
    return min(longest, 2 + int(item.num_chars / CHARS_PER_TOKEN))


def estimate_chunks(item: Item, encoder: TextEncoder) -> int:
    """Chunks of a candidate's text by its characters."""
    if encoder.chunks == 1:
        return 1
    return -(-estimate_tokens(item, encoder.chunks * encoder.longest_candidate) // encoder.longest_candidate)
