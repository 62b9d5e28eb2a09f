"""Files that are complete or absent, JSON, and digests of files and folders. Knows no other format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def complete(path: Path) -> Iterator[Path]:
    """A path to write a file or a folder to. It is renamed to `path` when the block ends without an error.

    The partial name ends in `.partial`: `np.save` needs an open file there, or it appends its own suffix.
    """
    partial = path.with_name(path.name + ".partial")
    yield partial
    partial.replace(path)


def write_whole(path: Path, content: bytes) -> None:
    """Write the file, or leave `path` as it was when the process is killed."""
    with complete(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, value: object) -> None:
    """Write the value as indented JSON, whole or not at all."""
    write_whole(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> Any:  # noqa: ANN401  JSON holds anything
    return json.loads(path.read_bytes())


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, or of the names and bytes of all files in a folder; `absent` where there is nothing.

    Files are hashed in blocks, so that they may be larger than memory.
    """
    if path.is_dir():
        names = sorted(each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file())
        listing = json.dumps([(name, digest(path / name)) for name in names])
        return hashlib.sha256(listing.encode()).hexdigest()
    if not path.is_file():
        return "absent"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
