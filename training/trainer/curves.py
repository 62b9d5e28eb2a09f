"""Learning curves of a run: the loss of each training by step, and its measures on validation lists.

Reads what trainings note: a line of JSON with `step` and figures in `curves.jsonl` or `log.jsonl`, in any folder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.errors import DataError

FILES = ("curves.jsonl", "log.jsonl")
POINTS = 100
"""A longer curve is shown by means of neighbouring steps."""


@dataclass(frozen=True)
class Curve:
    """One training, by its folder: (step, loss), and (step, measure on validation lists)."""

    name: str
    steps: int
    losses: tuple[tuple[int, float], ...]
    valid: tuple[tuple[int, float], ...]


def read_curves(folder: Path) -> Iterator[Curve]:
    """All trainings under a folder, by name; of a folder with two files the first of FILES. Raises DataError."""
    found = {path.parent for name in FILES for path in folder.rglob(name)}
    for each in sorted(found):
        path = next(each / name for name in FILES if (each / name).exists())
        curve = _curve(str(each.relative_to(folder)), path)
        if curve.losses:
            yield curve


def _curve(name: str, path: Path) -> Curve:
    losses: dict[int, float] = {}
    valid: dict[int, float] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            step = int(row["step"])
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}: line {number}: must be an object with a whole number in 'step'") from error
        for key, into in (("loss", losses), ("valid", valid)):  # a resumed run repeats steps: the last line counts
            if isinstance(row.get(key), (int, float)) and math.isfinite(row[key]):
                into[step] = float(row[key])
    return Curve(name, len(losses), _thin(sorted(losses.items())), tuple(sorted(valid.items())))


def _thin(points: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    size = math.ceil(len(points) / POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)] if points else []
    return tuple((group[-1][0], sum(value for _, value in group) / len(group)) for group in groups)
