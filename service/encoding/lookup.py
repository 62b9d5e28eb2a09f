"""Cache lookup for a split model: states of members and slots of candidates, found by content.

Runs in the tokenizer thread. Knows nothing of queues, deadlines or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.scorers.split import MemberState
from models.slots.codec import Slots, content_key
from models.template import Content
from models.text import TokenIds
from service.encoding.member_cache import MemberCache
from service.encoding.tokenization import TextReader, member_text
from service.registry.loading import LiveModel
from service.request import Item, ItemStatus
from service.store.interface import SlotStore

_MAX_STORED_KEYS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class LookupResult:
    """What the caches hold for a request.

    `member` is the member's state, or its token ids if the state is not cached. `slots` f16[C, S, d] belong to the
    candidates at `places`, whose contents have `keys`. `missing` are token ids by key of the candidates whose slots
    are not cached: their rows of `slots` are still empty. `refused` are statuses by place of the other candidates.
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
class _Readable:
    """Candidates with a text: key, content and place of each; and a status for the others."""

    keys: list[bytes]
    contents: list[Content]
    places: list[int]
    refused: dict[int, ItemStatus]


class Lookup:
    """Renders, hashes, looks up, and tokenises what is not cached. One thread at a time."""

    def __init__(self, texts: TextReader, members: MemberCache, slots: SlotStore) -> None:
        self._texts = texts
        self._members = members
        self._slots = slots
        # Key of each stored candidate by id, with the content and model that it belongs to: saves rendering it again.
        self._stored: dict[str, tuple[Content, bytes, bytes]] = {}

    def find(self, model: LiveModel, shape: tuple[int, int], member: Item, candidates: Sequence[Item]) -> LookupResult:
        """Look up a request; slots have this shape. Raises Invalid for a member without a text."""
        contents, unstored = self._texts.contents(candidates)
        text = member_text(model, member)
        readable = self._readable(model, candidates, contents, unstored)
        member_key = content_key(model.keys["member"], text)
        state = self._members.get(member_key)
        cached, store_failed = self._cached(readable.keys, shape)
        slots = np.zeros((len(readable.keys), *shape), dtype=np.float16)
        for row, each in enumerate(cached):
            if each is not None:
                slots[row] = each
        return LookupResult(
            member_key=member_key,
            member=model.encoder.member(text) if state is None else state,
            slots=slots,
            keys=readable.keys,
            places=readable.places,
            missing=_missing(model, readable, cached),
            refused=readable.refused,
            store_failed=store_failed,
        )

    def missing(self, model: LiveModel, shape: tuple[int, int], candidates: Sequence[Item]) -> dict[bytes, TokenIds]:
        """Token ids by key of the candidates whose slots are not cached."""
        readable = self._readable(model, candidates, *self._texts.contents(candidates))
        cached, _ = self._cached(readable.keys, shape)
        return _missing(model, readable, cached)

    def _readable(
        self, model: LiveModel, candidates: Sequence[Item], contents: Sequence[Content | None], unstored: ItemStatus
    ) -> _Readable:
        """The candidates with a text, and the key of each one's slots; `unstored` is the status without a content."""
        model_key = model.keys["candidate"]
        readable = _Readable([], [], [], {})
        texts: dict[int, str] = {}
        keys: dict[int, bytes] = {}
        for place, content in enumerate(contents):
            candidate = candidates[place]
            stored = self._stored.get(candidate.id) if candidate.content is None else None
            if stored is not None and stored[:2] == (content, model_key):
                keys[place] = stored[2]
            elif content is not None:
                texts[place] = model.template.render_candidate(content)
        for place, text in texts.items():
            if text:
                keys[place] = content_key(model_key, text)
        for place, content in enumerate(contents):
            key = keys.get(place)
            if content is None or key is None:
                readable.refused[place] = unstored if content is None else ItemStatus.invalid
                continue
            readable.keys.append(key)
            readable.contents.append(content)
            readable.places.append(place)
            if candidates[place].content is None:
                if len(self._stored) >= _MAX_STORED_KEYS:
                    self._stored.clear()
                self._stored[candidates[place].id] = (content, model_key, key)
        return readable

    def _cached(self, keys: Sequence[bytes], shape: tuple[int, int]) -> tuple[list[Slots | None], bool]:
        """The slots under each key, and whether the store failed."""
        try:
            found = self._slots.get_many(keys)
        except Exception:  # A store may raise anything. It is a cache: the texts are at hand.
            return [None] * len(keys), True
        return [slots if slots is not None and slots.shape == shape else None for slots in found], False


def _missing(model: LiveModel, readable: _Readable, cached: Sequence[Slots | None]) -> dict[bytes, TokenIds]:
    contents = {
        key: content
        for key, content, slots in zip(readable.keys, readable.contents, cached, strict=True)
        if slots is None
    }
    if not contents:
        return {}
    texts = [model.template.render_candidate(content) for content in contents.values()]
    return dict(zip(contents, model.encoder.candidates(texts), strict=True))
