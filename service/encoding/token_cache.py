"""Token ids of candidates by content, bounded by bytes. Belongs to the tokenizer thread alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from cachetools import LRUCache

from models.text import TokenIds
from service.store.interface import ENTRY_BYTES

Digest = bytes


def _ids_size(ids: TokenIds) -> int:
    return ids.nbytes + ENTRY_BYTES


class TokenCache:
    """Token ids by the text's content, least recently used out first. `owner` keeps tokenizers apart.

    `looked_up(hits, misses)` is called for each lookup.
    """

    def __init__(self, max_bytes: int, looked_up: Callable[[int, int], None] = lambda hits, misses: None) -> None:
        self._looked_up = looked_up
        self._max_bytes = max_bytes
        self._cache: LRUCache[Digest, TokenIds] = LRUCache(max_bytes, getsizeof=_ids_size)

    @property
    def bytes(self) -> int:
        return int(self._cache.currsize)

    def encode(
        self, owner: Digest, texts: Sequence[str], encode: Callable[[Sequence[str]], list[TokenIds]]
    ) -> list[TokenIds]:
        """Ids of each text, in order; texts that are not cached are encoded in one call."""
        keys = [hashlib.blake2b(text.encode(), digest_size=16, key=owner).digest() for text in texts]
        known = {key: self._cache[key] for key in keys if key in self._cache}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        self._looked_up(len(keys) - len(missing), len(missing))
        if missing:
            fresh = dict(zip(missing, encode(list(missing.values())), strict=True))
            known.update(fresh)
            for key, ids in fresh.items():
                if _ids_size(ids) <= self._max_bytes:
                    self._cache[key] = ids
        return [known[key] for key in keys]
