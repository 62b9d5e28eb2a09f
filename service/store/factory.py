"""Opens the store that FITSCORE_STORE names.

memory          in this process; lost when it ends
lmdb:FOLDER     in a folder, shared by the processes of one machine
redis://...     in a Redis server, shared by several replicas; also rediss:// and unix://
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import StoreDown, StoreError
from models.slots.codec import Usage
from models.slots.lmdb_file import IN_STORE, SlotFile
from service.settings import StoreSettings
from service.store.interface import DurableSlotStore, SlotStore, TextStore
from service.store.kept_texts import KeptTexts
from service.store.lmdb_store import LmdbTextStore
from service.store.memory_store import MemorySlotStore, MemoryTextStore
from service.store.shelves import DEFAULT, ProductTexts, Shelf
from service.store.tiering import Breakers, GuardedTexts, TieredSlots

REDIS_TIMEOUT_S = 0.01
"""How long a request waits for a server that does not answer, at most once a second."""


@dataclass(frozen=True, slots=True)
class StoreReport:
    """The store's figures. Counts begin with the process."""

    up: bool
    errors: int
    damaged: int
    texts: Usage
    slots: Usage
    memory: Usage
    memory_hits: int
    store_hits: int
    misses: int


class Store:
    """Candidates' texts and slots behind circuit breakers. `durable` slots outlive the process.

    Each product of `products` has a shelf, with a share of `slots_bytes` in memory; the first is the default product.
    """

    def __init__(
        self,
        texts: TextStore,
        slots_bytes: int,
        durable: DurableSlotStore | None = None,
        breakers: Breakers | None = None,
        products: Sequence[str] = (DEFAULT,),
        kept: TextStore | None = None,
    ) -> None:
        self._breakers = breakers or Breakers()
        self.durable = durable
        self._usages = (Usage(0, 0), Usage(0, 0))
        self._texts: TextStore = texts if durable is None else GuardedTexts(texts, self._breakers)
        self._memories = [MemorySlotStore(slots_bytes // len(products)) for _ in products]
        self._tiers = [] if durable is None else [TieredSlots(each, durable, self._breakers) for each in self._memories]
        slots: Sequence[SlotStore] = self._tiers or self._memories
        self._kept = kept if kept is None or durable is None else GuardedTexts(kept, self._breakers)
        bulk = None if durable is None else TieredSlots(MemorySlotStore(0), durable, self._breakers)
        self.shelves = {
            name: self._shelf(name if number else DEFAULT, each, bulk or each)
            for number, (name, each) in enumerate(zip(products, slots, strict=True))
        }
        default = next(iter(self.shelves.values()))
        self.texts, self.slots = default.texts, default.slots

    def _shelf(self, product: str, slots: SlotStore, bulk: SlotStore) -> Shelf:
        kept = None if self._kept is None else KeptTexts(ProductTexts(self._kept, product))
        return Shelf(ProductTexts(self._texts, product), slots, bulk, kept)

    def report(self) -> StoreReport:
        """Figures for the metrics; never waits and never raises."""
        with contextlib.suppress(StoreDown):  # then the last usage counts
            self._usages = self._texts.usage(), self._slots_usage()
        hits = sum(each.hits for each in self._tiers)
        in_memory = [each.usage() for each in self._memories]
        return StoreReport(
            up=self._breakers.up,
            errors=self._breakers.errors,
            damaged=self._texts.damaged + (self.durable.damaged if self.durable else 0),
            texts=self._usages[0],
            slots=self._usages[1],
            memory=Usage(sum(each.entries for each in in_memory), sum(each.bytes for each in in_memory)),
            memory_hits=sum(each.hits for each in self._memories),
            store_hits=hits,
            misses=sum(each.misses for each in self._memories) - hits,
        )

    def _slots_usage(self) -> Usage:
        """Usage of the durable slots, which all products share, or else of those in memory."""
        if self.durable is not None:
            return self.durable.usage()
        usages = [each.usage() for each in self._memories]
        return Usage(sum(each.entries for each in usages), sum(each.bytes for each in usages))

    def maintain(self) -> None:
        """Delete expired texts. Call it periodically; never raises for a store that is down or has no room."""
        with contextlib.suppress(StoreError):  # the breaker has logged it; a full disk takes no deletions either
            self._texts.sweep()

    def keep_only(self, models: Collection[bytes]) -> int:
        """Drop the durable slots of all other models; returns how many. Raises StoreDown."""
        return 0 if self.durable is None else self.durable.keep_only(models)

    def close(self) -> None:
        self._texts.close()
        if self._kept is not None:
            self._kept.close()
        if self.durable is not None:
            self.durable.close()


def open_store(
    settings: StoreSettings, clock: Callable[[], float] = time.time, products: Sequence[str] = (DEFAULT,)
) -> Store:
    """Open the store of the settings, with a shelf for each product.

    In Redis the server's own limit bounds texts and durable slots.

    Raises StoreDown for a folder that cannot be used. A Redis server may be down at first.
    """
    kind, _, folder = settings.url.partition(":")
    memory, keep = settings.slots_bytes, settings.kept_texts_bytes
    if kind == "memory":
        kept: TextStore | None = MemoryTextStore(keep, clock, compress=True) if keep else None
        return Store(MemoryTextStore(settings.texts_bytes, clock), memory, products=products, kept=kept)
    if kind == "lmdb":
        texts = LmdbTextStore(Path(folder) / "texts", settings.texts_bytes, clock)
        kept = LmdbTextStore(Path(folder) / "kept", keep, clock, compress=True) if keep else None
        slots = SlotFile(Path(folder) / IN_STORE, settings.slots_file_bytes)
        return Store(texts, memory, slots, products=products, kept=kept)
    from service.store.redis_store import KEPT, RedisSlotStore, RedisTextStore, connect  # a tenth of the start

    client = connect(settings.url, REDIS_TIMEOUT_S)
    kept = RedisTextStore(client, clock, prefix=KEPT, compress=True) if keep else None
    return Store(RedisTextStore(client, clock), memory, RedisSlotStore(client), products=products, kept=kept)
