"""Errors that a user can correct. The command line prints them as one sentence, without a traceback."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from models.errors import UserError as UserError

_SURROUNDINGS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "the file system takes no file of this size",
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "change the permissions, or name another place",
    errno.EPERM: "change the permissions, or name another place",
    errno.ENOTDIR: "a part of the path is a file: name another place",
    errno.EISDIR: "it is a folder: name a file",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EIO: "the disk or the network share fails",
}
"""What a user can do about an error of the operating system. A missing file is not here: its reader says which one."""
# Libraries that write files themselves put the system's error into their text.
_NUMBERED = re.compile(r"(?:os error |\[Errno |error code: )(\d+)")
_PHRASES = {
    "No space left on device": errno.ENOSPC,
    "disk is full": errno.ENOSPC,
    "PytorchStreamWriter failed": errno.ENOSPC,
    "readonly database": errno.EROFS,
    "Read-only file system": errno.EROFS,
    "Permission denied": errno.EACCES,
    "unable to open database file": errno.EACCES,
}


def surroundings(error: BaseException) -> str | None:
    """A sentence for an error of disk, permissions or limits, wherever in the chain it is; None for any other."""
    for each in _chain(error):
        number = each.errno if isinstance(each, OSError) else _number_in(str(each))
        if number in _SURROUNDINGS:
            place = f"{each.filename}: " if isinstance(each, OSError) and each.filename else ""
            return f"{place}{os.strerror(number)}: {_SURROUNDINGS[number]}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _number_in(text: str) -> int | None:
    if found := _NUMBERED.search(text):
        return int(found[1])
    return next((number for phrase, number in _PHRASES.items() if phrase in text), None)
