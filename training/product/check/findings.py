"""What a check says: an error stops, a warning is listed, a fact is for the page. Knows no data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "fact"]
LEVELS: tuple[Level, ...] = ("error", "warning", "fact")
SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """One sentence about the data, in a named check."""

    level: Level
    check: str
    sentence: str


@dataclass(frozen=True)
class Figures:
    """A small table for the page: a title, columns, and rows of texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class CheckReport:
    """All that was found, the worst first."""

    product: str
    findings: tuple[Finding, ...]
    figures: tuple[Figures, ...]

    def of(self, level: Level) -> list[Finding]:
        return [each for each in self.findings if each.level == level]


def some(values: Sequence[str]) -> str:
    """The first few of many, and how many more there are."""
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(values[:SHOWN]) + more


def counted(number: int, word: str) -> str:
    """1 error, 2 errors, 0 errors."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
