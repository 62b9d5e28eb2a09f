"""Slots in a folder: one memory-mapped LMDB file. `training encode` fills it, and the service reads it.

A cache without eviction: a full file stays full until the entries of old models are dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from models.errors import DamagedEntry
from models.slots.codec import MODEL_KEY_BYTES, Slots, Usage, pack, unpack
from models.slots.lmdb_environment import open_environment

FORM = "fitscore-slots-1"
IN_STORE = "slots"
"""The slots' folder within a store's folder."""
MAX_BYTES = 8 << 30
"""Default maximum size. Processes that share a file must agree on it. 1 M entries take half."""
_DROP_BATCH = 2000
"""Entries dropped in one transaction: other writers wait for it."""


class SlotFile:
    """Slots by `slots.content_key`. Several processes and threads may use one file."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._environment = open_environment(folder, form=FORM, databases=["slots"], max_bytes=max_bytes)
        (self._slots,) = self._environment.databases
        self.damaged = 0
        """Entries that failed their checksum when read."""

    def get_many(self, keys: Sequence[bytes]) -> list[Slots | None]:
        """A copy of the slots under each key; None where they are missing or damaged. Raises StoreDown."""
        with self._environment.reading() as txn:
            return [self._read(key, txn.get(key, db=self._slots)) for key in keys]

    def _read(self, key: bytes, entry: memoryview | None) -> Slots | None:
        if entry is None:
            return None
        try:
            return unpack(key, entry)
        except DamagedEntry:
            self.damaged += 1  # the caller encodes and writes it again
            return None

    def put_many(self, entries: Mapping[bytes, Slots]) -> None:
        """Write all entries in one transaction. Raises NoRoom or StoreDown: then none is written."""
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
            found_one = cursor.first()
            while found_one:
                found.append(bytes(cursor.key()[:MODEL_KEY_BYTES]))
                found_one = cursor.set_range(found[-1] + b"\xff" * 17)
        return found

    def _drop(self, model: bytes) -> int:
        dropped = 0
        while True:
            with self._environment.writing() as txn:
                cursor = txn.cursor(self._slots)
                found_one = cursor.set_range(model)
                for _ in range(_DROP_BATCH):
                    if not found_one or not cursor.key().startswith(model):
                        return dropped
                    found_one = cursor.delete()
                    dropped += 1

    def usage(self) -> Usage:
        """Entries, and bytes of the pages in use. Raises StoreDown."""
        return Usage(*self._environment.usage())

    def close(self) -> None:
        """Close the file."""
        self._environment.close()
