"""Texts of candidates that came inside requests, kept beside their slots so that a later model can encode them too.

Slots outlive a model's texts: without these, the slots of a new version start empty. Knows neither models nor requests.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping

import orjson

from models.errors import NoRoom, StoreDown
from models.template import Content
from service.store.interface import TextStore, content_of

log = logging.getLogger("fitscore")
_MAX_WAITING = 5000
"""Texts that wait to be written. Further ones are not kept."""


class KeptTexts:
    """Texts by content and id, each kept once. `note` never waits; `flush` writes."""

    def __init__(self, store: TextStore) -> None:
        self._store = store
        self._waiting: dict[str, Content] = {}
        self._changed = threading.Lock()
        self._full = False

    def note(self, contents: Mapping[str, Content]) -> None:
        """Keep contents by candidates' ids, soon. Any thread may call it."""
        entries = {f"{_digest(content)}:{candidate_id}": content for candidate_id, content in contents.items()}
        with self._changed:
            if len(self._waiting) + len(entries) <= _MAX_WAITING:
                self._waiting.update(entries)

    def flush(self) -> None:
        """Write what waits. A store that is full or down loses it; a full one is logged once."""
        with self._changed:
            entries, self._waiting = self._waiting, {}
        try:
            if entries:
                self._store.put(entries)
        except NoRoom:
            if not self._full:
                self._full = True
                log.error("no room to keep further texts beside the slots: raise FITSCORE_KEPT_TEXTS_BYTES")
        except StoreDown:
            pass  # the breaker has logged it

    def pages(self, size: int) -> Iterator[list[tuple[str, Content]]]:
        """All kept texts with the ids that they came with, at most `size` at a time. Raises StoreDown."""
        for page in self._store.pages(size):
            yield [(name.partition(":")[2], content_of(stored)) for name, stored in page]


def _digest(content: Content) -> str:
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
