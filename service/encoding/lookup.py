"""Cache lookup for a split model: states of members and slots of candidates, found by content.

Runs in the tokenizer thread. Knows nothing of queues, deadlines or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from models.errors import FieldError
from models.scorers.split import MemberState
from models.slots.codec import SlotFormat, Slots, chunk_keys, content_key
from models.template import Content
from models.text import USUAL_WINDOW, ReadText, TokenCounts, TokenIds, Window
from service.encoding.inputs import Readings
from service.encoding.member_cache import MemberCache
from service.encoding.tokenization import TextReader, read_member, readings_of
from service.registry.loading import LiveModel
from service.request import Item, ItemStatus, ScoringRequest
from service.store.interface import SlotStore

K = TypeVar("K")
V = TypeVar("V")
_MAX_STORED_KEYS = 1_000_000
_MAX_COUNTS = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class LookupResult:
    """What the caches hold for a request.

    `member` is the member's state, or its token ids if the state is not cached. `slots` [C, S, d] belong to the
    candidates at `places`, whose contents have `keys`; a candidate of several chunks has as many rows, one after
    another. `missing` are token ids by key of the rows whose slots are not cached: their rows of `slots` are still
    empty. `refused` are statuses by place of the other candidates.
    """

    member_key: bytes
    member: MemberState | TokenIds
    slots: NDArray[Any]
    keys: list[bytes]
    places: list[int]
    missing: dict[bytes, TokenIds]
    refused: Mapping[int, ItemStatus]
    readings: Readings
    store_failed: bool


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Chunks of candidates that can be read: key, place, and slots if they are cached.

    `counts` of all that have a text, and `faults` of those that cannot become one, by place.
    """

    keys: list[bytes]
    places: list[int]
    slots: list[Slots | None]
    missing: dict[bytes, TokenIds]
    counts: dict[int, TokenCounts]
    faults: dict[int, FieldError]
    store_failed: bool


@dataclass(frozen=True, slots=True)
class Unfilled:
    """Token ids by key of what lacks slots; the names of the candidates that need them, each with their keys, and of
    those that cannot be read.
    """

    missing: dict[bytes, TokenIds]
    needs: list[tuple[str, list[bytes]]]
    unreadable: list[str]


class Lookup:
    """Renders, hashes, looks up, and tokenises what is not cached. One thread at a time."""

    def __init__(
        self,
        texts: TextReader,
        members: MemberCache,
        slots: SlotStore,
        keep: Callable[[Mapping[str, Content]], None] | None = None,
    ) -> None:
        """`keep(contents)` is called with the contents of candidates that will get slots, by their ids."""
        self._keep = keep
        self._texts = texts
        self._members = members
        self._slots = slots
        # Key of each stored candidate by id, with the content and model that it belongs to: saves rendering it again.
        self._stored: dict[str, tuple[Content, bytes, bytes]] = {}
        # How a text is read, by key: a text whose state or slots are cached is not tokenised.
        self._member_counts: dict[bytes, TokenCounts] = {}
        self._counts: dict[bytes, TokenCounts] = {}

    def find(self, model: LiveModel, slot_format: SlotFormat, request: ScoringRequest) -> LookupResult:
        """Look up a request; slots have this format. Raises Invalid for a member that cannot be read."""
        known = self._texts.contents(request.candidates)
        features = known.feature_rows(model, request.candidates)
        contents = known.contents
        member_key, member, member_counts = self._member(model, self._texts.member_text(model, request.member))
        window = model.encoder.effective(request.window)
        found = self._look_up(model, slot_format, request.candidates, contents, window)
        if self._keep is not None and found.missing:
            self._keep(_sent_contents(request.candidates, found))
        slots = slot_format.zeros(len(found.keys))
        for row, each in enumerate(found.slots):
            if each is not None:
                slots[row] = each
        refused: dict[int, ItemStatus] = {}
        if model.encoder.chunks > 1 or len(found.places) < len(contents):
            for place in set(range(len(contents))).difference(found.places):
                refused[place] = known.unstored if contents[place] is None else ItemStatus.invalid
        return LookupResult(
            member_key=member_key,
            member=member,
            slots=slots,
            keys=found.keys,
            places=found.places,
            missing=found.missing,
            refused=refused,
            readings=readings_of(model, request.member, member_counts, contents, found.counts, found.faults, features),
            store_failed=found.store_failed,
        )

    def missing(self, model: LiveModel, slot_format: SlotFormat, candidates: Sequence[Item]) -> dict[bytes, TokenIds]:
        """Token ids by key of the candidates whose slots are not cached."""
        return self._look_up(
            model, slot_format, candidates, self._texts.contents(candidates).contents, USUAL_WINDOW
        ).missing

    def unfilled(self, model: LiveModel, slot_format: SlotFormat, candidates: Sequence[Item]) -> Unfilled:
        """The candidates whose slots are not in the store."""
        contents = self._texts.contents(candidates).contents
        found = self._look_up(model, slot_format, candidates, contents, USUAL_WINDOW)
        needs: dict[int, list[bytes]] = {}
        for key, place in zip(found.keys, found.places, strict=True):
            if key in found.missing:
                needs.setdefault(place, []).append(key)
        readable = set(found.places)
        unreadable = [each.id for place, each in enumerate(candidates) if place not in readable]
        return Unfilled(found.missing, [(candidates[place].id, keys) for place, keys in needs.items()], unreadable)

    def _member(self, model: LiveModel, text: str) -> tuple[bytes, MemberState | TokenIds, TokenCounts]:
        key = content_key(model.keys["member"], text)
        state, counts = self._members.get(key), self._member_counts.get(key)
        if state is not None and counts is not None:
            return key, state, counts
        read = read_member(model, text)
        _remember(self._member_counts, {key: read.counts}, _MAX_COUNTS)
        return key, read.ids if state is None else state, read.counts

    def _look_up(
        self,
        model: LiveModel,
        slot_format: SlotFormat,
        candidates: Sequence[Item],
        contents: Sequence[Content | None],
        window: Window,
    ) -> _Candidates:
        keys, faults = self._keys(model, candidates, contents, window)
        counts = list(map(self._counts.get, keys.values()))
        unread = {key: contents[place] for (place, key), own in zip(keys.items(), counts, strict=True) if own is None}
        fresh = self._read(model, unread, window) if unread else {}
        known = {
            place: fresh[key].counts if own is None else own
            for (place, key), own in zip(keys.items(), counts, strict=True)
        }
        places = [place for place, own in known.items() if own.read > own.unknown]
        if model.encoder.chunks == 1:
            rows = list(keys.values()) if len(places) == len(keys) else [keys[place] for place in places]
        else:
            rows = [key for place in places for key in chunk_keys(keys[place], known[place].chunks)]
            places = [place for place in places for _ in range(known[place].chunks)]
        cached, store_failed = self._cached(rows, slot_format)
        absent = {key: place for key, place, slots in zip(rows, places, cached, strict=True) if slots is None}
        ids: dict[bytes, TokenIds] = {}
        if absent:
            again = {keys[place]: contents[place] for place in absent.values() if keys[place] not in fresh}
            fresh |= self._read(model, again, window)
            for key in {keys[place]: None for place in absent.values()}:
                ids.update(zip(chunk_keys(key, fresh[key].counts.chunks), fresh[key].chunks, strict=True))
        return _Candidates(rows, places, cached, {key: ids[key] for key in absent}, known, faults, store_failed)

    def _read(
        self, model: LiveModel, contents: Mapping[bytes, Content | None], window: Window
    ) -> dict[bytes, ReadText]:
        """Tokenise contents by key, and remember how each is read."""
        texts = [self._texts.candidate_text(model, content, window) for content in contents.values()]
        read = dict(zip(contents, model.encoder.read_candidates(texts, window), strict=True))
        _remember(self._counts, {key: text.counts for key, text in read.items()}, _MAX_COUNTS)
        return read

    def _keys(
        self, model: LiveModel, candidates: Sequence[Item], contents: Sequence[Content | None], window: Window
    ) -> tuple[dict[int, bytes], dict[int, FieldError]]:
        """The key of the slots of each candidate that has a text, by place; and why one cannot become a text."""
        tag, model_key = b"" if window is USUAL_WINDOW else window.tag, model.keys["candidate"]
        keys: dict[int, bytes] = {}
        rendered: dict[int, str] = {}
        faults: dict[int, FieldError] = {}
        for place, content in enumerate(contents):
            if content is None:
                continue
            name = candidates[place].id if candidates[place].content is None and not tag else None
            stored = self._stored.get(name) if name is not None else None
            if stored is not None and stored[0] == content and stored[1] == model_key:
                keys[place] = stored[2]
                continue
            try:
                text = self._texts.candidate_text(model, content, window)
            except FieldError as fault:
                faults[place] = fault
                continue
            if text:
                rendered[place], keys[place] = text, b""  # in its place
        for place, text in rendered.items():
            keys[place] = key = content_key(model_key, text, tag)
            candidate = candidates[place]
            content = contents[place]
            if candidate.content is None and content is not None and not tag:
                _remember(self._stored, {candidate.id: (content, model_key, key)}, _MAX_STORED_KEYS)
        return keys, faults

    def _cached(self, keys: Sequence[bytes], slot_format: SlotFormat) -> tuple[list[Slots | None], bool]:
        """The slots under each key, and whether the store failed."""
        try:
            found = self._slots.get_many(keys)
        except Exception:  # A store may raise anything. It is a cache: the texts are at hand.
            return [None] * len(keys), True
        return slot_format.fitting(found), False


def _sent_contents(candidates: Sequence[Item], found: _Candidates) -> dict[str, Content]:
    """Contents by id of the candidates without slots that came with their content: others are in the store."""
    contents: dict[str, Content] = {}
    for key, place in zip(found.keys, found.places, strict=True):
        content = candidates[place].content
        if key in found.missing and content is not None:
            contents[candidates[place].id] = content
    return contents


def _remember(memory: dict[K, V], entries: Mapping[K, V], most: int) -> None:
    """Add entries to a memory that starts again when it is full."""
    if len(memory) + len(entries) > most:
        memory.clear()
    memory.update(entries)
