"""Token ids of candidates by content, bounded by bytes. Belongs to the tokenizer thread alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from cachetools import LRUCache

from models.text import USUAL_WINDOW, ReadText, Window
from service.store.interface import ENTRY_BYTES

Digest = bytes


def _size(text: ReadText) -> int:
    return sum(ids.nbytes for ids in text.chunks) + ENTRY_BYTES


class TokenCache:
    """Token ids by the text's content, least recently used out first. `owner` keeps tokenizers apart.

    `looked_up(hits, misses)` is called for each lookup.
    """

    def __init__(self, max_bytes: int, looked_up: Callable[[int, int], None] = lambda hits, misses: None) -> None:
        self._looked_up = looked_up
        self._max_bytes = max_bytes
        self._cache: LRUCache[Digest, ReadText] = LRUCache(max_bytes, getsizeof=_size)

    @property
    def bytes(self) -> int:
        return int(self._cache.currsize)

    def read(
        self,
        owner: Digest,
        texts: Sequence[str],
        read: Callable[[Sequence[str], Window], list[ReadText]],
        window: Window = USUAL_WINDOW,
    ) -> list[ReadText]:
        """Ids and counts of each text, in order; texts that are not cached are read in one call."""
        tag = window.tag
        keys = [hashlib.blake2b(text.encode(), digest_size=16, key=owner, person=tag).digest() for text in texts]
        known = {key: self._cache[key] for key in keys if key in self._cache}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        self._looked_up(len(keys) - len(missing), len(missing))
        if missing:
            fresh = dict(zip(missing, read(list(missing.values()), window), strict=True))
            known.update(fresh)
            for key, text in fresh.items():
                if _size(text) <= self._max_bytes:
                    self._cache[key] = text
        return [known[key] for key in keys]
