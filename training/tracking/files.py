"""Curves as files: `log.jsonl` beside the checkpoint, one line a step. The default, and what reports read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

LOG = "log.jsonl"


class FileTracker:
    """Appends a line a step; a line is there as soon as its step is done."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / LOG).open("a", encoding="utf-8")

    def note(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """See `Tracker`."""
        self._file.close()
