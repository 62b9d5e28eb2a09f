"""A result: target, measurement, and whether the same measurement fails for a service with the guard broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from load_tests.report import table


@dataclass(frozen=True, slots=True)
class Result:
    """One row. `control` states the planted fault and its measurement; `control_fails`: it missed the target."""

    name: str
    target: str
    measured: str
    met: bool
    control: str
    control_fails: bool


@dataclass(frozen=True, slots=True)
class Size:
    """How much of each part. Bodies and requests end at their number or after `max_s`; the table states how many were
    sent.
    """

    seconds: float
    stops: int
    in_flight: int
    swaps: int
    bodies: int
    slow: int
    requests: int
    max_s: float


TINY = Size(seconds=4, stops=1, in_flight=10, swaps=3, bodies=300, slow=9, requests=600, max_s=10)
"""Only checks that every part works."""


def sized(minutes: float) -> Size:
    """A size of about `minutes` on two cores, at least 5. The documented results take about 200."""
    scale = minutes / 15
    return Size(
        seconds=min(60.0, 15 * scale),
        stops=max(1, min(20, round(5 * scale))),
        in_flight=200,
        swaps=max(5, min(50, round(50 * scale))),
        bodies=1_000_000,
        slow=300,
        requests=1_000_000,
        max_s=75 * scale,
    )


def rows(results: Sequence[Result]) -> str:
    """The results as a Markdown table."""
    return table(
        [
            {
                "result": each.name,
                "target": each.target,
                "measured": each.measured,
                "met": "yes" if each.met else "NO",
                "negative control": each.control,
                "control fails": "yes" if each.control_fails else "NO",
            }
            for each in results
        ]
    )
