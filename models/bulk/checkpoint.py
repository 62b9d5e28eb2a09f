"""What a run has done so far, in a folder beside its output: encoded candidates, and the rows of each finished unit.

Each file is whole or absent, so a run that is killed loses what was in its hands at that moment, and no more. Knows
bytes and numbers, no texts.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from models.errors import UserError
from models.slots.lmdb_file import MAX_BYTES, SlotFile

STAMP = "run.json"
BYTES_OF_SLOTS = 32_768
"""Room that the slots' file reserves for one candidate; addresses, not disk."""


class ResumeError(UserError):
    """The folder of an unfinished run cannot be used; the sentence says what to do."""


@dataclass(eq=False)
class Checkpoint:
    """The folder of one run, held by one process."""

    folder: Path
    _lock: TextIO

    def slots(self, candidates: int) -> SlotFile:
        """The file of encoded candidates."""
        return SlotFile(self.folder / "slots", max(MAX_BYTES, candidates * BYTES_OF_SLOTS))

    def rows(self, unit: int) -> NDArray[np.float32] | None:
        """The rows of a finished unit."""
        path = self._unit(unit)
        return np.load(path) if path.exists() else None

    def has(self, unit: int) -> bool:
        return self._unit(unit).exists()

    def finish(self, unit: int, rows: NDArray[np.float32]) -> None:
        """Keep the rows of a unit."""
        partial = self.folder / "unit.partial"
        with partial.open("wb") as file:
            np.save(file, rows)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._unit(unit))

    def remove(self) -> None:
        """Delete the folder: the output is written."""
        shutil.rmtree(self.folder)
        self._lock.close()

    def close(self) -> None:
        self._lock.close()

    def _unit(self, unit: int) -> Path:
        return self.folder / f"unit-{unit:07}.npy"


def open_checkpoint(folder: Path, stamp: Mapping[str, str]) -> Checkpoint:
    """Begin a run, or go on with one of the same stamp: what the rows depend on, in words. Raises ResumeError."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise ResumeError(f"{folder}: another process writes here: wait for it, or name another output") from None
    path = folder / STAMP
    before = json.loads(path.read_text()) if path.exists() else None
    if before is not None and before != stamp:
        lock.close()
        changed = ", ".join(name for name in stamp if before.get(name) != stamp[name])
        raise ResumeError(f"{folder} holds an unfinished run with another {changed}: finish that one, or delete it")
    if before is None:
        partial = folder / f"{STAMP}.partial"
        partial.write_text(json.dumps(stamp))
        partial.replace(path)
    return Checkpoint(folder, lock)
