"""Which store: one word picks the back ends and puts them together.

memory          in this process, gone with it
lmdb:FOLDER     in a folder, for the processes of one machine
redis://...     in a Redis server, for several replicas; also rediss:// and unix://
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from models.errors import StoreDown
from models.slots.codec import Usage
from models.slots.lmdb_file import IN_STORE, SlotFile
from service.store.interface import KeptSlots, SlotStore, TextStore
from service.store.lmdb_store import LmdbTextStore
from service.store.memory_store import MemorySlotStore, MemoryTextStore
from service.store.redis_store import RedisSlotStore, RedisTextStore, connect
from service.store.tiering import CircuitBreaker, GuardedTexts, TieredSlots

PATTERN = r"memory|lmdb:.+|rediss?://.+|unix://.+"
REDIS_TIMEOUT_S = 0.01
"""What a request waits for a server that does not answer, once a second at most."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the store has to say of itself. Counts grow from the start of the process."""

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
    """Both sides, and what concerns them together."""

    def __init__(
        self,
        texts: TextStore,
        memory: MemorySlotStore,
        kept: KeptSlots | None = None,
        gate: CircuitBreaker | None = None,
    ) -> None:
        """`kept` is what outlives the process, if anything does, and `gate` whether it is up."""
        self._gate = gate or CircuitBreaker()
        self._memory = memory
        self._kept = kept
        self._tiers = None if kept is None else TieredSlots(memory, kept, self._gate)
        self._usages = (Usage(0, 0), Usage(0, 0))
        self.texts: TextStore = texts if kept is None else GuardedTexts(texts, self._gate)
        self.slots: SlotStore = self._tiers or memory

    def report(self) -> Report:
        """Figures for the metrics; never waits and never raises."""
        with contextlib.suppress(StoreDown):  # the last ones stand
            self._usages = self.texts.usage(), self.slots.usage()
        hits = self._tiers.hits if self._tiers else 0
        return Report(
            up=self._gate.up,
            errors=self._gate.errors,
            damaged=self.texts.damaged + (self._kept.damaged if self._kept else 0),
            texts=self._usages[0],
            slots=self._usages[1],
            memory=self._memory.usage(),
            memory_hits=self._memory.hits,
            store_hits=hits,
            misses=self._memory.misses - hits,
        )

    def maintain(self) -> None:
        """Give back the room of what has expired. To be called now and then; never raises for a store that is down."""
        with contextlib.suppress(StoreDown):  # the gate has told
            self.texts.sweep()

    def keep_only(self, models: Collection[bytes]) -> int:
        """Drop the slots of all other models from what outlives the process; returns how many. Raises StoreDown."""
        return 0 if self._kept is None else self._kept.keep_only(models)

    def close(self) -> None:
        """Let files and connections go."""
        self.texts.close()
        if self._kept is not None:
            self._kept.close()


def open_store(
    spec: str, *, texts_bytes: int, memory_bytes: int, slots_bytes: int, clock: Callable[[], float] = time.time
) -> Store:
    """Open the store that `spec` names.

    `texts_bytes` bounds texts and `slots_bytes` slots that outlive the process (in Redis the server's own limit
    does); `memory_bytes` bounds the slots in memory, alone or in front. Raises StoreDown for a folder that cannot be
    used, and ValueError for another word. A Redis server that is down is waited for.
    """
    kind, _, rest = spec.partition(":")
    memory = MemorySlotStore(memory_bytes)
    if spec == "memory":
        return Store(MemoryTextStore(texts_bytes, clock), memory)
    if kind == "lmdb" and rest:
        folder = Path(rest)
        return Store(
            LmdbTextStore(folder / "texts", texts_bytes, clock),
            memory,
            SlotFile(folder / IN_STORE, slots_bytes),
            CircuitBreaker(),
        )
    if kind in ("redis", "rediss", "unix"):
        client = connect(spec, REDIS_TIMEOUT_S)
        return Store(RedisTextStore(client, clock), memory, RedisSlotStore(client), CircuitBreaker())
    raise ValueError("a store is memory, lmdb:FOLDER or redis://HOST")
