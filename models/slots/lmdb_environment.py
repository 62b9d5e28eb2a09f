"""An LMDB environment in a folder: checked before it is opened, and set aside when it is damaged.

Survives kill -9 at any moment and may be open in several processes, each of which opens it once. Knows pages and bytes,
not what is stored.
"""

from __future__ import annotations

import fcntl
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lmdb

from models.errors import NoRoom, StoreDown
from models.slots import lmdb_check
from models.slots.lmdb_check import ABOUT, DATA, FORM

log = logging.getLogger("fitscore")
_SET_ASIDE = "damaged-*.mdb"
SUSPECT = "suspect"
"""A file of this name beside the data has every entry looked at when the environment is opened next."""
_BROKEN = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError, lmdb.InvalidError, lmdb.BadTxnError)
"""What LMDB raises when it comes upon a tree that it did not write."""
# How a process ends that reads what is not there. Any other signal says nothing of the file.
_READ_WRONG = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT}
_SPARE_BYTES = 64 << 20
"""Room for the copies that a transaction makes of the pages that it changes."""


@dataclass(frozen=True)
class Environment:
    """An open environment and its databases. `max_bytes` bounds the pages in use; a file may be an eighth larger."""

    folder: Path
    env: lmdb.Environment
    databases: tuple[lmdb._Database, ...]
    max_bytes: int

    @contextmanager
    def reading(self) -> Iterator[lmdb.Transaction[memoryview]]:
        """A view of the last commit; what it gives must be copied before it ends. Raises StoreDown."""
        try:
            with self.env.begin(buffers=True) as txn:
                yield txn
        except lmdb.Error as error:
            self._suspect(error)
            raise StoreDown(f"the store cannot be read ({type(error).__name__})") from error

    @contextmanager
    def writing(self) -> Iterator[lmdb.Transaction[bytes]]:
        """A transaction that is committed at the end, or leaves no trace when anything is raised.

        Raises NoRoom when it does not fit, and StoreDown.
        """
        try:
            with self.env.begin(write=True) as txn:
                yield txn
        except lmdb.MapFullError:
            raise NoRoom("the store has no room for all of these") from None
        except lmdb.Error as error:
            self._suspect(error)
            raise StoreDown(f"the store cannot be written ({type(error).__name__})") from error

    def _suspect(self, error: lmdb.Error) -> None:
        if isinstance(error, _BROKEN):
            (self.folder / SUSPECT).touch()

    def check_room(self, txn: lmdb.Transaction[bytes], sizes: Sequence[int]) -> None:
        """Raise NoRoom unless entries of these sizes fit beside what `txn` sees."""
        page = self.env.stat()["psize"]
        needed = sum(size if size < page // 2 else -(-(size + 16) // page) * page for size in sizes)
        if self._used(txn) + needed > self.max_bytes:
            raise NoRoom("the store has no room for all of these")

    def usage(self) -> tuple[int, int]:
        """Entries of the first database, and bytes of all pages in use. Raises StoreDown."""
        with self.reading() as txn:
            return txn.stat(self.databases[0])["entries"], self._used(txn)

    def _used(self, txn: lmdb.Transaction[bytes] | lmdb.Transaction[memoryview]) -> int:
        stats = [txn.stat(database) for database in self.databases]
        return sum((s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"]) * s["psize"] for s in stats)

    def close(self) -> None:
        """Let the file go. What was acknowledged is in it already."""
        self.env.close()


def open_environment(folder: Path, *, form: str, databases: Sequence[str], max_bytes: int) -> Environment:
    """Open, or make, the environment in `folder`. One that is damaged or has another form is set aside first.

    Raises StoreDown when the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if (folder / DATA).exists() and (wrong := _fault(folder, form, databases)):
                _set_aside(folder, wrong)
            (folder / SUSPECT).unlink(missing_ok=True)
            env = lmdb.open(
                str(folder),
                map_size=max_bytes + max_bytes // 8 + _SPARE_BYTES,
                max_dbs=len(databases) + 1,
                # A failing machine may lose the last commits, never the order of them.
                metasync=False,
                readahead=False,
            )
            env.reader_check()  # places of readers that were killed keep old pages alive
            return Environment(folder, env, _databases(env, form, databases), max_bytes)
    except (OSError, lmdb.Error) as error:
        raise StoreDown(f"the store in {folder} cannot be opened: {error}") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two processes must not set aside what the other one has just made."""
    with (folder / "open.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fault(folder: Path, form: str, databases: Sequence[str]) -> str | None:
    # -P: beside lmdb_check.py stand files whose names must not hide those of the standard library.
    doubt = SUSPECT if (folder / SUSPECT).exists() else "trusted"
    command = [sys.executable, "-P", lmdb_check.__file__, str(folder), form, doubt, *databases]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if ended.returncode == 0:
        return None
    if ended.returncode in _READ_WRONG:
        return f"cannot be read (signal {-ended.returncode})"
    lines = ended.stderr.splitlines()
    if ended.returncode == 1 and len(lines) == 1:
        return lines[0]
    raise OSError(f"its soundness cannot be checked (exit code {ended.returncode})")


def _set_aside(folder: Path, wrong: str) -> None:
    """Move the file out of the way; only the newest such file is kept."""
    for older in folder.glob(_SET_ASIDE):
        older.unlink()
    aside = folder / f"damaged-{time.time_ns()}.mdb"
    (folder / DATA).rename(aside)
    (folder / "lock.mdb").unlink(missing_ok=True)
    log.error("the store's file in %s %s: set aside as %s, starting empty", folder, wrong, aside.name)


def _databases(env: lmdb.Environment, form: str, names: Sequence[str]) -> tuple[lmdb._Database, ...]:
    with env.begin(write=True) as txn:
        about = env.open_db(ABOUT, txn=txn)
        txn.put(FORM, form.encode(), db=about)
        return tuple(env.open_db(name.encode(), txn=txn) for name in names)
