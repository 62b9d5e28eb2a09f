"""Run as a process of its own on an LMDB environment: exit code 0 when it is sound, 1 with one sentence when it is not.

Looks at the first pages, the form and the size; when the file is too short or under suspicion, at every entry: that
reads the whole file, which for millions of entries takes minutes from a slow disk.

A process of its own, because reading a damaged tree or a file that was cut off can end the reader by a signal.
Knows keys and pages, not what values mean: those carry checksums. Imports nothing of Fitscore, so that it starts fast.
"""

from __future__ import annotations

import sys
from pathlib import Path

import lmdb

DATA = "data.mdb"
ABOUT, FORM = b"about", b"form"
"""The database that says what the environment is, and the key of its form."""


def fault(folder: Path, form: bytes, databases: list[bytes], *, suspect: bool) -> str | None:
    """What is wrong with the environment in `folder`, or None. May end the process instead."""
    try:
        with lmdb.open(str(folder), readonly=True, max_dbs=len(databases) + 1, readahead=False) as env:
            return _fault(env, folder, form, databases, suspect)
    except lmdb.Error as error:
        return f"cannot be read ({type(error).__name__})"


def _fault(env: lmdb.Environment, folder: Path, form: bytes, databases: list[bytes], suspect: bool) -> str | None:
    pages = env.info()["last_pgno"] + 1
    # Pages at the end may be free and never written, so a short file is no proof: then every value is touched.
    short = (folder / DATA).stat().st_size < pages * env.stat()["psize"]
    with env.begin(buffers=True) as txn:
        if txn.stat()["entries"] == 0:
            return None  # made, and never filled
        about = env.open_db(ABOUT, txn=txn, create=False)
        if bytes(txn.get(FORM, b"", db=about)) != form:
            return "has another format"
        for name in databases:
            database = env.open_db(name, txn=txn, create=False)
            if (short or suspect) and not _whole(txn, database):
                return "has keys out of place"
    return None


def _whole(txn: lmdb.Transaction[memoryview], database: lmdb._Database) -> bool:
    """Whether every key can be reached, in order, and the last byte of every value."""
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
    where, what, doubt, *names = sys.argv[1:]
    wrong = fault(Path(where), what.encode(), [name.encode() for name in names], suspect=doubt == "suspect")
    sys.exit(wrong)  # None is 0; a sentence goes to stderr with 1
