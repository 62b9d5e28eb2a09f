"""What a split model need not compute again: states of members and slots of candidates, found by content.

Runs in the tokenizer thread. Knows nothing of queues, deadlines or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from moka_py import Moka
from numpy.typing import NDArray

from models.scorers.split import MemberState
from models.slots.codec import Slots, content_key
from models.template import Content
from models.text import TokenIds
from service.encoding.tokenization import Texts, candidate_text, member_text
from service.registry.loading import LiveModel
from service.request import Item, ItemStatus
from service.store.interface import ENTRY_BYTES, SlotStore

_MAX_STORED_KEYS = 1_000_000


class MemberCache:
    """States of members by content, least recently used out first. Bounded by bytes; any thread may ask."""

    def __init__(self, max_bytes: int) -> None:
        self._cache: Moka[bytes, MemberState] = Moka(max_bytes, weigher=_weight, policy="lru")

    def get(self, key: bytes) -> MemberState | None:
        """The state under a key."""
        return self._cache.get(key)

    def put(self, key: bytes, state: MemberState) -> None:
        """Keep a state."""
        self._cache.set(key, state)


def _weight(key: bytes, state: MemberState) -> int:
    return len(key) + state.nbytes + ENTRY_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class LookupResult:
    """What is known of an order before the model runs.

    `slots` f16[C, S, d] are those of the candidates at `places`, whose content has `keys`; where `missing` names a
    key, with the token ids to encode, nothing stands there yet. `member` is its state, or its ids.
    """

    member_key: bytes
    member: MemberState | TokenIds
    slots: NDArray[np.float16]
    keys: list[bytes]
    places: list[int]
    missing: dict[bytes, TokenIds]
    refused: Mapping[int, ItemStatus]
    store_failed: bool


@dataclass(frozen=True, slots=True)
class _Read:
    """Candidates that hold something to read: key, content and place of each; and a status for the others."""

    keys: list[bytes]
    contents: list[Content]
    places: list[int]
    refused: dict[int, ItemStatus]


class Lookup:
    """Renders, hashes, looks up, and tokenises what is not known. One thread at a time."""

    def __init__(self, texts: Texts, members: MemberCache, slots: SlotStore) -> None:
        self._texts = texts
        self._members = members
        self._slots = slots
        # Of stored candidates by id, with what it was made of: asked for again, they need no rendering.
        self._stored: dict[str, tuple[Content, bytes, bytes]] = {}

    def find(self, model: LiveModel, shape: tuple[int, int], member: Item, candidates: Sequence[Item]) -> LookupResult:
        """What is known of an order; slots have this shape. Raises EmptyMember."""
        text = member_text(model, member)
        member_key = content_key(model.keys["member"], text)
        state = self._members.get(member_key)
        read = self._read(model, candidates)
        known, store_failed = self._known(read.keys, shape)
        slots = np.zeros((len(read.keys), *shape), dtype=np.float16)
        for row, each in enumerate(known):
            if each is not None:
                slots[row] = each
        return LookupResult(
            member_key=member_key,
            member=model.encoder.member(text) if state is None else state,
            slots=slots,
            keys=read.keys,
            places=read.places,
            missing=_missing(model, read, known),
            refused=read.refused,
            store_failed=store_failed,
        )

    def missing(self, model: LiveModel, shape: tuple[int, int], candidates: Sequence[Item]) -> dict[bytes, TokenIds]:
        """Token ids by key of the candidates whose slots are not known."""
        read = self._read(model, candidates)
        known, _ = self._known(read.keys, shape)
        return _missing(model, read, known)

    def _read(self, model: LiveModel, candidates: Sequence[Item]) -> _Read:
        read = _Read([], [], [], {})
        contents, unstored = self._texts.contents(candidates)
        for place, content in enumerate(contents):
            key = None if content is None else self._key(model, candidates[place], content)
            if content is None or key is None:
                read.refused[place] = unstored if content is None else ItemStatus.invalid
                continue
            read.keys.append(key)
            read.contents.append(content)
            read.places.append(place)
        return read

    def _key(self, model: LiveModel, candidate: Item, content: Content) -> bytes | None:
        """Where the candidate's slots are kept; None when there is nothing to read."""
        maker, is_stored = model.keys["candidate"], candidate.content is None
        if is_stored and (known := self._stored.get(candidate.id)) and known[:2] == (content, maker):
            return known[2]
        text = candidate_text(model, content)
        if not text:
            return None
        key = content_key(maker, text)
        if is_stored:
            if len(self._stored) >= _MAX_STORED_KEYS:
                self._stored.clear()
            self._stored[candidate.id] = (content, maker, key)
        return key

    def _known(self, keys: Sequence[bytes], shape: tuple[int, int]) -> tuple[list[Slots | None], bool]:
        """The slots under each key; and whether the store failed."""
        try:
            found = self._slots.get_many(keys)
        except Exception:  # Whatever a store raises: it is a cache, and the texts are here.
            return [None] * len(keys), True
        return [slots if slots is not None and slots.shape == shape else None for slots in found], False


def _missing(model: LiveModel, read: _Read, known: Sequence[Slots | None]) -> dict[bytes, TokenIds]:
    contents = {
        key: content for key, content, slots in zip(read.keys, read.contents, known, strict=True) if slots is None
    }
    if not contents:
        return {}
    texts = [candidate_text(model, content) for content in contents.values()]
    return dict(zip(contents, model.encoder.candidates(texts), strict=True))
