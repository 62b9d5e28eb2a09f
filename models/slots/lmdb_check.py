"""A separate process that checks an LMDB environment: exit code 0 for a usable one, else 1 with one sentence.

Checks the first pages, the format and the size. When the file is too short or marked as suspect, it reads every entry,
which takes minutes for millions of entries on a slow disk.

A separate process, because reading a damaged tree or a truncated file can kill the reader by a signal. Knows keys and
pages only; values have checksums of their own. Imports nothing of Fitscore, so that it starts fast.
"""

from __future__ import annotations

import sys
from pathlib import Path

import lmdb

DATA = "data.mdb"
ABOUT, FORM = b"about", b"form"
"""The database that describes the environment, and the key of its format."""


def fault(folder: Path, form: bytes, databases: list[bytes], *, suspect: bool) -> str | None:
    """What is wrong with the environment in `folder`, or None. Damage may kill the process instead."""
    try:
        with lmdb.open(str(folder), readonly=True, max_dbs=len(databases) + 1, readahead=False) as env:
            return _fault(env, folder, form, databases, suspect)
    except lmdb.Error as error:
        return f"cannot be read ({type(error).__name__})"


def _fault(env: lmdb.Environment, folder: Path, form: bytes, databases: list[bytes], suspect: bool) -> str | None:
    pages = env.info()["last_pgno"] + 1
    # A short file is no proof of damage: its last pages may be free and never written. So every value is read.
    short = (folder / DATA).stat().st_size < pages * env.stat()["psize"]
    with env.begin(buffers=True) as txn:
        if txn.stat()["entries"] == 0:
            return None  # created, and never filled
        about = env.open_db(ABOUT, txn=txn, create=False)
        if bytes(txn.get(FORM, b"", db=about)) != form:
            return "has another format"
        for name in databases:
            database = env.open_db(name, txn=txn, create=False)
            if (short or suspect) and not _is_complete(txn, database):
                return "has keys out of place"
    return None


def _is_complete(txn: lmdb.Transaction[memoryview], database: lmdb._Database) -> bool:
    """Whether every key is readable and in order, and the last byte of every value is readable."""
    last, found = b"", 0
    for item in txn.cursor(database).iternext(keys=True, values=True):
        key, value = bytes(item[0]), item[1]
        if found and key <= last:
            return False
        if len(value):
            _ = value[-1]
        last, found = key, found + 1
    return found == txn.stat(database)["entries"]


if __name__ == "__main__":
    path, expected, mode, *names = sys.argv[1:]
    wrong = fault(Path(path), expected.encode(), [name.encode() for name in names], suspect=mode == "suspect")
    sys.exit(wrong)  # None is 0; a sentence goes to stderr with 1
