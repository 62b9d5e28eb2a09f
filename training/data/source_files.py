"""The folder of source data, as adapters see it: by name, so that each file that is read is known with its digest.

Adapters get this and no path to the folder, so that no step can read a file unnoticed. Knows no format.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from training.data.tables import DataError
from training.files import digest


class SourceFiles:
    """Hands out files and folders under `folder` by name; `on_read` gets the name and the digest of each."""

    def __init__(self, folder: Path, on_read: Callable[[str, str], None] = lambda name, found: None) -> None:
        self._folder = folder
        self._on_read = on_read
        self._known: set[str] = set()

    def path(self, name: str) -> Path:
        """A file, or a folder with all that is in it. Raises DataError where there is neither."""
        if not self.has(name):
            raise DataError(f"{self._folder / name} does not exist: see the sources of the recipe, and --data")
        return self._folder / name

    def has(self, name: str) -> bool:
        """Whether there is such a file or folder. The answer is recorded: a file that appears later is a change."""
        if name not in self._known:
            self._known.add(name)
            self._on_read(name, digest(self._folder / name))
        return (self._folder / name).exists()
