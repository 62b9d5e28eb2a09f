"""An LMDB environment in a folder: checked before it is opened, and moved aside when it is damaged.

Survives kill -9 at any moment. Several processes may open it, each of them once. Knows pages and bytes, not content.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import lmdb

from models.errors import NoRoom, StoreDown
from models.slots import lmdb_check
from models.slots.lmdb_check import ABOUT, DATA, FORM

log = logging.getLogger("fitscore")
_DAMAGED_FILES = "damaged-*.mdb"
SUSPECT = "suspect"
"""A file of this name beside the data makes the next opening check every entry."""
_DAMAGE_ERRORS = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError, lmdb.InvalidError, lmdb.BadTxnError)
"""LMDB raises these for a tree that it did not write."""
# Signals that end a reader of a damaged file. Any other signal tells nothing about the file.
_DAMAGE_SIGNALS = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT}
_FULL_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LEAST_FREE_BYTES = 1 << 20
"""With less free space, a disk counts as full after a failed write."""
_SPARE_BYTES = 64 << 20
"""Space for a transaction's copies of the pages that it changes."""


@dataclass(frozen=True)
class Environment:
    """An open environment and its databases. `max_bytes` bounds the pages in use; a file may be an eighth larger."""

    folder: Path
    env: lmdb.Environment
    databases: tuple[lmdb._Database, ...]
    max_bytes: int

    @contextmanager
    def reading(self) -> Iterator[lmdb.Transaction[memoryview]]:
        """A view of the last commit. Copy its values before the transaction ends. Raises StoreDown."""
        try:
            with self.env.begin(buffers=True) as txn:
                yield txn
        except lmdb.Error as error:
            self._mark_suspect(error)
            raise StoreDown(f"the store cannot be read ({type(error).__name__})") from error

    @contextmanager
    def writing(self) -> Iterator[lmdb.Transaction[bytes]]:
        """A transaction that commits at the end, and is rolled back on any exception.

        Raises NoRoom when the entries do not fit, or the disk is full, and StoreDown.
        """
        try:
            with self.env.begin(write=True) as txn:
                yield txn
        except lmdb.MapFullError:
            raise NoRoom("the store has no room for all entries") from None
        except lmdb.Error as error:
            if self._disk_is_full(error):
                raise NoRoom("the disk of the store is full") from error
            self._mark_suspect(error)
            raise StoreDown(f"the store cannot be written ({error.reason or type(error).__name__})") from error

    def _disk_is_full(self, error: lmdb.Error) -> bool:
        """Whether a write failed for want of space. LMDB reports a write that was cut short as EIO."""
        if error.code in _FULL_ERRORS:
            return True
        disk = os.statvfs(self.folder)
        return error.code == errno.EIO and disk.f_bavail * disk.f_frsize < _LEAST_FREE_BYTES

    def _mark_suspect(self, error: lmdb.Error) -> None:
        if isinstance(error, _DAMAGE_ERRORS):
            with suppress(OSError):  # on a full disk
                (self.folder / SUSPECT).touch()

    def check_room(self, txn: lmdb.Transaction[bytes], sizes: Sequence[int]) -> None:
        """Raise NoRoom unless entries of these sizes fit into the environment that `txn` sees."""
        page = self.env.stat()["psize"]
        needed = sum(size if size < page // 2 else -(-(size + 16) // page) * page for size in sizes)
        if self._used(txn) + needed > self.max_bytes:
            raise NoRoom("the store has no room for all entries")

    def usage(self) -> tuple[int, int]:
        """Entries of the first database, and bytes of all pages in use. Raises StoreDown."""
        with self.reading() as txn:
            return txn.stat(self.databases[0])["entries"], self._used(txn)

    def _used(self, txn: lmdb.Transaction[bytes] | lmdb.Transaction[memoryview]) -> int:
        stats = [txn.stat(database) for database in self.databases]
        return sum((s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"]) * s["psize"] for s in stats)

    def close(self) -> None:
        """Close the file. Acknowledged entries are already in it."""
        self.env.close()


def open_environment(folder: Path, *, form: str, databases: Sequence[str], max_bytes: int) -> Environment:
    """Open or create the environment in `folder`. Moves a damaged one, or one of another format, aside first.

    Raises StoreDown when the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            if (folder / DATA).exists() and (wrong := _fault(folder, form, databases)):
                _move_aside(folder, wrong)
            (folder / SUSPECT).unlink(missing_ok=True)
            env = lmdb.open(
                str(folder),
                map_size=max_bytes + max_bytes // 8 + _SPARE_BYTES,
                max_dbs=len(databases) + 1,
                # A machine failure may lose the last commits, never their order.
                metasync=False,
                readahead=False,
            )
            env.reader_check()  # frees the slots of killed readers, which keep old pages alive
            return Environment(folder, env, _databases(env, form, databases), max_bytes)
    except (OSError, lmdb.Error) as error:
        raise StoreDown(f"the store in {folder} cannot be opened: {error}") from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process must not move aside what another has just created."""
    with (folder / "open.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fault(folder: Path, form: str, databases: Sequence[str]) -> str | None:
    # -P: lmdb_check.py's folder must not hide modules of the standard library.
    doubt = SUSPECT if (folder / SUSPECT).exists() else "trusted"
    command = [sys.executable, "-P", lmdb_check.__file__, str(folder), form, doubt, *databases]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if ended.returncode == 0:
        return None
    if ended.returncode in _DAMAGE_SIGNALS:
        return f"cannot be read (signal {-ended.returncode})"
    lines = ended.stderr.splitlines()
    if ended.returncode == 1 and len(lines) == 1:
        return lines[0]
    raise OSError(f"the check failed (exit code {ended.returncode})")


def _move_aside(folder: Path, wrong: str) -> None:
    """Rename the file; only the newest such file is kept."""
    for older in folder.glob(_DAMAGED_FILES):
        older.unlink()
    aside = folder / f"damaged-{time.time_ns()}.mdb"
    (folder / DATA).rename(aside)
    (folder / "lock.mdb").unlink(missing_ok=True)
    log.error("the store's file in %s %s: moved to %s, the store starts empty", folder, wrong, aside.name)


def _databases(env: lmdb.Environment, form: str, names: Sequence[str]) -> tuple[lmdb._Database, ...]:
    with env.begin(write=True) as txn:
        about = env.open_db(ABOUT, txn=txn)
        if txn.get(FORM, db=about) != form.encode():  # a full disk takes no write, and must not keep it closed
            txn.put(FORM, form.encode(), db=about)
        return tuple(env.open_db(name.encode(), txn=txn) for name in names)
