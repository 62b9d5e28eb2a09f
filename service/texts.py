"""Members and candidates -> pairs of token ids. Runs in the tokenizer thread.

Knows nothing of queues, deadlines or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.text import Fields, Pair
from service.candidates import CandidateStore, TokenCache
from service.models import LiveModel
from service.work import PairStatus


@dataclass(frozen=True, slots=True)
class Entry:
    """A member or a candidate as it was sent: a text, fields, or (candidates only) nothing but an id."""

    id: str
    content: str | Fields | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Pairs that can be scored, their places in the request, and what is already known of the other places."""

    pairs: list[Pair]
    positions: list[int]
    refused: dict[int, PairStatus]


class EmptyMember(Exception):
    """The member has no text to score anything against."""


class Texts:
    """Looks up, renders and tokenises. One thread at a time."""

    def __init__(self, store: CandidateStore, cache: TokenCache) -> None:
        self._store = store
        self._cache = cache

    def prepare(self, model: LiveModel, member: Entry, candidates: Sequence[Entry]) -> Prepared:
        """Encode the member once and each candidate that has a text. Raises EmptyMember."""
        member_text = _text(member.content, model.template.render_member)
        if not member_text:
            raise EmptyMember
        texts: list[str] = []
        positions: list[int] = []
        refused: dict[int, PairStatus] = {}
        for position, candidate in enumerate(candidates):
            content = self._store.get(candidate.id) if candidate.content is None else candidate.content
            text = None if content is None else _text(content, model.template.render_candidate)
            if text:
                texts.append(text)
                positions.append(position)
            else:
                refused[position] = PairStatus.unknown_candidate if content is None else PairStatus.invalid
        ids = model.encoder.member(member_text)
        encoded = self._cache.encode(model.text_key, texts, model.encoder.candidates)
        return Prepared([Pair(ids, each) for each in encoded], positions, refused)


def _text(content: str | Fields | None, render: Callable[[Fields], str]) -> str:
    return content.strip() if isinstance(content, str) else render(content or {})
