"""Slots in a folder: one LMDB file, memory-mapped. What `training encode` fills is what the service reads.

A cache without eviction: what is full stays full until entries of old models are dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from models.errors import DamagedEntry
from models.slots.codec import MODEL_KEY_BYTES, Slots, Usage, pack, unpack
from models.slots.lmdb_environment import open_environment

FORM = "fitscore-slots-1"
IN_STORE = "slots"
"""The folder of the slots within that of a store."""
MAX_BYTES = 8 << 30
"""What a file may grow to unless somebody says otherwise; those who share one must agree. 1 M entries take half."""
_AT_ONCE = 2000
"""Entries dropped in one transaction: others wait for it."""


class SlotFile:
    """Slots by `slots.content_key`. Several processes and threads may use one file."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._environment = open_environment(folder, form=FORM, databases=["slots"], max_bytes=max_bytes)
        (self._slots,) = self._environment.databases
        self.damaged = 0
        """Entries that were read and were not what had been written."""

    def get_many(self, keys: Sequence[bytes]) -> list[Slots | None]:
        """A copy of the slots under each key; None where there are none, or damaged ones. Raises StoreDown."""
        with self._environment.reading() as txn:
            return [self._sound(key, txn.get(key, db=self._slots)) for key in keys]

    def _sound(self, key: bytes, entry: memoryview | None) -> Slots | None:
        if entry is None:
            return None
        try:
            return unpack(key, entry)
        except DamagedEntry:
            self.damaged += 1  # whoever misses it writes it anew
            return None

    def put_many(self, entries: Mapping[bytes, Slots]) -> None:
        """Write all of `entries` in one transaction. Raises NoRoom or StoreDown: then none is written."""
        packed = [(key, pack(key, slots)) for key, slots in sorted(entries.items())]
        with self._environment.writing() as txn:
            self._environment.check_room(txn, [len(entry) for _, entry in packed])
            txn.cursor(self._slots).putmulti(packed)

    def keep_only(self, models: Collection[bytes]) -> int:
        """Drop every entry whose key does not begin with one of these model keys; returns how many."""
        return sum(self._drop(model) for model in self.models() if model not in models)

    def models(self) -> list[bytes]:
        """Keys of the models that have entries."""
        found = []
        with self._environment.reading() as txn:
            cursor = txn.cursor(self._slots)
            there = cursor.first()
            while there:
                found.append(bytes(cursor.key()[:MODEL_KEY_BYTES]))
                there = cursor.set_range(found[-1] + b"\xff" * 17)
        return found

    def _drop(self, model: bytes) -> int:
        dropped = 0
        while True:
            with self._environment.writing() as txn:
                cursor = txn.cursor(self._slots)
                there = cursor.set_range(model)
                for _ in range(_AT_ONCE):
                    if not there or not cursor.key().startswith(model):
                        return dropped
                    there = cursor.delete()
                    dropped += 1

    def usage(self) -> Usage:
        """Entries, and bytes of the pages in use. Raises StoreDown."""
        return Usage(*self._environment.usage())

    def close(self) -> None:
        """Let the file go."""
        self._environment.close()
