"""One store for several products: each sees its own candidates, by ids that cannot meet those of another product.

The ids of the default product are stored as they are, so a store is the same with one product and with several. Slots
need no such names: their keys contain the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from models.slots.codec import Usage
from service.store.interface import SlotStore, Stored, TextStore
from service.store.kept_texts import KeptTexts

MARK = "\0"
"""Begins every id that is not stored as it is. Names of products do not begin with it."""
DEFAULT = ""
"""The name of the default product's shelf."""


def prefix_of(product: str, candidate_id: str) -> str:
    """What is put before an id. No two pairs of product and id are stored as the same id."""
    if product == DEFAULT:
        return MARK if candidate_id.startswith(MARK) else ""
    return f"{MARK}{product}{MARK}"


def own_id(product: str, stored: str) -> str | None:
    """The id that is stored as this, or None if it belongs to another product."""
    if product == DEFAULT:
        escaped = stored.removeprefix(MARK)
        return escaped if escaped == stored or escaped.startswith(MARK) else None
    prefix = f"{MARK}{product}{MARK}"
    return stored[len(prefix) :] if stored.startswith(prefix) else None


@dataclass(frozen=True, slots=True)
class ProductTexts:
    """See `interface.TextStore`: the candidates of one product in a store of several."""

    back: TextStore
    product: str

    @property
    def damaged(self) -> int:
        return self.back.damaged

    def get_many(self, ids: Sequence[str]) -> list[Stored | None]:
        return self.back.get_many(self._stored(ids))

    def put(self, entries: Mapping[str, Stored], ttl_s: float | None = None) -> None:
        self.back.put(dict(zip(self._stored(entries), entries.values(), strict=True)), ttl_s)

    def delete(self, candidate_id: str) -> bool:
        return self.back.delete(*self._stored([candidate_id]))

    def pages(self, size: int) -> Iterator[list[tuple[str, Stored]]]:
        for page in self.back.pages(size):
            own = ((own_id(self.product, stored), content) for stored, content in page)
            yield [(name, content) for name, content in own if name is not None]

    def sweep(self) -> int:
        return self.back.sweep()

    def usage(self) -> Usage:
        return self.back.usage()

    def close(self) -> None:
        self.back.close()

    def _stored(self, ids: Iterable[str]) -> list[str]:
        return [prefix_of(self.product, each) + each for each in ids]


@dataclass(frozen=True, slots=True)
class Shelf:
    """What one product sees of the store.

    `bulk` are the slots without the memory in front of them: reading or writing very many must not push out what
    requests use. `kept` are the texts beside the slots, if they are kept.
    """

    texts: TextStore
    slots: SlotStore
    bulk: SlotStore
    kept: KeptTexts | None = None
