"""A figure: what was wanted, what was found, and whether the same measurement fails when what it guards is broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from load_tests.report import table


@dataclass(frozen=True, slots=True)
class Figure:
    """One row. `control` says what was broken and what was found then; `told_apart` is whether it missed the target."""

    name: str
    target: str
    found: str
    reached: bool
    control: str
    told_apart: bool


@dataclass(frozen=True, slots=True)
class Size:
    """How much of each. Bodies and requests end at their number or after `most_s` each, whichever comes first: a table
    says how many there were.
    """

    seconds: float
    stops: int
    in_flight: int
    swaps: int
    bodies: int
    slow: int
    requests: int
    most_s: float


TINY = Size(seconds=4, stops=1, in_flight=10, swaps=3, bodies=300, slow=9, requests=600, most_s=10)
"""Shows that every part works, and nothing else."""


def sized(minutes: float) -> Size:
    """About so long on two cores, from 5 minutes on; what the figures are promised for takes some 200."""
    share = minutes / 15
    return Size(
        seconds=min(60.0, 15 * share),
        stops=max(1, min(20, round(5 * share))),
        in_flight=200,
        swaps=max(5, min(50, round(50 * share))),
        bodies=1_000_000,
        slow=300,
        requests=1_000_000,
        most_s=75 * share,
    )


def rows(figures: Sequence[Figure]) -> str:
    """The table for the README."""
    return table(
        [
            {
                "figure": each.name,
                "target": each.target,
                "found": each.found,
                "reached": "yes" if each.reached else "NO",
                "negative control": each.control,
                "it fails": "yes" if each.told_apart else "NO",
            }
            for each in figures
        ]
    )
