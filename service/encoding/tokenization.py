"""Members and candidates -> texts, and for a cross-encoder -> pairs of token ids. Runs in the tokenizer thread.

Knows nothing of queues, deadlines or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.errors import StoreDown
from models.template import Content
from models.text import Pair
from service.batching.jobs import NoResult, Operation
from service.encoding.token_cache import TokenCache
from service.registry.loading import LiveModel
from service.request import Item, ItemStatus
from service.store.interface import TextStore


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is left to score, as payloads of one operation: each with its length, and the places that its result fills.

    `settled` is what is already known of the other places.
    """

    operation: Operation
    payloads: Sequence[object]
    lengths: Sequence[int]
    places: Sequence[list[int]]
    settled: Mapping[int, ItemStatus | NoResult]


class EmptyMember(Exception):
    """The member has no text to score anything against."""


class Texts:
    """Looks up candidates by id, renders and tokenises. One thread at a time."""

    def __init__(self, store: TextStore, cache: TokenCache) -> None:
        self._store = store
        self._cache = cache

    def contents(self, candidates: Sequence[Item]) -> tuple[list[Content | None], ItemStatus]:
        """What each candidate holds, and what those are that came with an id alone and of which nothing is stored."""
        ids = [each.id for each in candidates if each.content is None]
        try:
            found = iter(self._store.get_many(ids) if ids else ())
        except StoreDown:
            return [each.content for each in candidates], ItemStatus.store_down
        known = [next(found) if each.content is None else each.content for each in candidates]
        return known, ItemStatus.unknown_candidate

    def pairs(self, model: LiveModel, operation: Operation, member: Item, candidates: Sequence[Item]) -> Prepared:
        """Pairs with each candidate that has a text: the member encoded once. Raises EmptyMember."""
        ids = model.encoder.member(member_text(model, member))
        texts: list[str] = []
        places: list[list[int]] = []
        refused: dict[int, ItemStatus] = {}
        contents, unstored = self.contents(candidates)
        for place, content in enumerate(contents):
            text = None if content is None else candidate_text(model, content)
            if text:
                texts.append(text)
                places.append([place])
            else:
                refused[place] = unstored if content is None else ItemStatus.invalid
        encoded = self._cache.encode(model.text_key, texts, model.encoder.candidates)
        pairs = [Pair(ids, each) for each in encoded]
        return Prepared(operation, pairs, [len(pair) for pair in pairs], places, refused)


def member_text(model: LiveModel, member: Item) -> str:
    """What the model reads of a member. Raises EmptyMember."""
    text = model.template.render_member(member.content)
    if not text:
        raise EmptyMember
    return text


def candidate_text(model: LiveModel, content: Content) -> str:
    """What the model reads of a candidate; empty when there is nothing to read."""
    return model.template.render_candidate(content)
