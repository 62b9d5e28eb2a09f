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


def read_curves(folder: Path, most: int = 50) -> dict[str, list[dict[str, float]]]:
    """Every curve below a folder by its relative name, in at most about `most` points. A step noted twice counts last.

    A point is the mean loss since the point before; `valid` is the last measure in that span, where there is one.
    """
    curves = {}
    for path in sorted(folder.rglob(LOG)):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        steps = list({row["step"]: row for row in rows}.values())
        span = max(1, -(-len(steps) // most))
        curves[path.parent.relative_to(folder).as_posix()] = [
            _point(steps[start : start + span]) for start in range(0, len(steps), span)
        ]
    return {name: points for name, points in curves.items() if points}


def _point(rows: list[dict[str, float]]) -> dict[str, float]:
    measured = [row["valid"] for row in rows if "valid" in row]
    loss = round(sum(row["loss"] for row in rows) / len(rows), 5)
    return {"step": rows[-1]["step"], "loss": loss, **({"valid": measured[-1]} if measured else {})}
