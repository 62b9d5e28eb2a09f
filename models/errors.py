"""What can go wrong with a model, with stored slots and texts, with fields, and with what a user of a command gave.

Messages about models, stores and fields name no content. A command prints a `UserError` as one sentence.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator


class UserError(Exception):
    """Input, settings or surroundings are wrong. The sentence says what and where. Any other exception is a bug."""


class DataError(UserError):
    """A row that cannot be used; the message names file, row and column."""


class BundleError(Exception):
    """The bundle must not be served; the sentence names the file or field."""


class DeviceError(Exception):
    """The requested device cannot be used."""


class StoreError(Exception):
    """The store cannot serve a call."""


class NoRoom(StoreError):
    """The entries do not fit; none was stored."""


class StoreDown(StoreError):
    """The store cannot be reached or read; a later attempt may succeed."""


class DamagedEntry(Exception):
    """A stored entry is not what was written."""


class FieldError(Exception):
    """A value of a field that cannot become a text. The message has the name and the problem, not the value."""

    kind = "field"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{self.kind} {field!r} {problem}")
        self.field = field
        self.problem = problem


class FeatureError(FieldError):
    """A feature that is no number: the candidate cannot be scored."""

    kind = "feature"


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
