"""What is known of candidates before a request comes: texts by id, token ids by content. Bounded by bytes.

Both live in this process's memory. Neither knows how texts are rendered or scored. The cache belongs to the
tokenizer thread alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from cachetools import LRUCache

from models.text import Fields, TokenIds

Digest = bytes
_ENTRY_BYTES = 200
"""What an entry costs beside its content: key, dictionary slot, object headers."""


class CandidatesFull(Exception):
    """The store has no room for all of these; none was stored."""


class CandidateStore:
    """Candidates by id, as they were sent. Refuses what does not fit: nothing is dropped to make room."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: dict[str, str | Fields] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, candidate_id: str) -> str | Fields | None:
        """The text or fields stored under an id."""
        return self._entries.get(candidate_id)

    def put(self, entries: Mapping[str, str | Fields]) -> None:
        """Insert or replace all of `entries`, or raise CandidatesFull and store none."""
        growth = sum(_size(name, entry) - self._size_of(name) for name, entry in entries.items())
        if self.bytes + growth > self._max_bytes:
            raise CandidatesFull(f"{self.bytes + growth} bytes are more than the store's {self._max_bytes}")
        self._entries.update(entries)
        self.bytes += growth

    def delete(self, candidate_id: str) -> bool:
        """Forget an id; False when it was not there."""
        self.bytes -= self._size_of(candidate_id)
        return self._entries.pop(candidate_id, None) is not None

    def _size_of(self, candidate_id: str) -> int:
        entry = self._entries.get(candidate_id)
        return 0 if entry is None else _size(candidate_id, entry)


def _size(name: str, entry: str | Fields) -> int:
    texts = [entry] if isinstance(entry, str) else [str(value) for pair in entry.items() for value in pair]
    return _ENTRY_BYTES + len(name) + sum(map(len, texts))


def _ids_size(ids: TokenIds) -> int:
    return ids.nbytes + _ENTRY_BYTES


class TokenCache:
    """Token ids by the text's content, least recently used out first. `owner` tells tokenizers apart."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._cache: LRUCache[Digest, TokenIds] = LRUCache(max_bytes, getsizeof=_ids_size)
        self.hits = 0
        self.misses = 0

    @property
    def bytes(self) -> int:
        """Bytes held now."""
        return int(self._cache.currsize)

    def encode(
        self, owner: Digest, texts: Sequence[str], encode: Callable[[Sequence[str]], list[TokenIds]]
    ) -> list[TokenIds]:
        """Ids of each text, in order; texts not known yet are encoded in one call."""
        keys = [hashlib.blake2b(text.encode(), digest_size=16, key=owner).digest() for text in texts]
        known = {key: self._cache[key] for key in keys if key in self._cache}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        self.hits += len(keys) - len(missing)
        self.misses += len(missing)
        if missing:
            fresh = dict(zip(missing, encode(list(missing.values())), strict=True))
            known.update(fresh)
            for key, ids in fresh.items():
                if _ids_size(ids) <= self._max_bytes:
                    self._cache[key] = ids
        return [known[key] for key in keys]
