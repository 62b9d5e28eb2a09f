"""Gates: what must hold before a student ships, each with one sentence, and the verdict that they give together.

A margin is only as good as its sample: a gate that asks "not worse" says how likely an equal model is to pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from training.evaluation.decision.lines import Line
from training.metrics.bootstrap import Interval

State = Literal["passed", "failed", "undecided", "not measured"]
Z, POWER_Z, POWER = 1.96, 0.84, 0.8
"""A two-sided interval of 95 %, and what a power of .8 needs beyond it."""


@dataclass(frozen=True)
class Gate:
    """One condition. `sentence` gives what was found, with its interval and the number of lists."""

    name: str
    state: State
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """Whether the student ships (None: no student was given), and why or why not, in one sentence."""

    ships: bool | None
    sentence: str


def standard_error(found: Interval) -> float:
    return (found.high - found.low) / (2 * Z)


def power_of_equal(found: Interval, margin: float) -> float:
    """Chance that an equal model's lower bound reaches -margin, with the spread of `found`."""
    error = standard_error(found)
    return 1.0 if error == 0 else 0.5 * (1 + math.erf((margin / error - Z) / math.sqrt(2)))


def lists_to_decide(found: Interval, margin: float, lists: int) -> int:
    """Lists that a power of .8 takes, if more lists are like these."""
    return math.ceil(lists * ((Z + POWER_Z) * standard_error(found) / margin) ** 2)


def decidable_margin(found: Interval, least: float, widest: float) -> float:
    """The smallest margin that this sample decides with a power of .8, between `least` and `widest`."""
    return min(widest, max(least, (Z + POWER_Z) * standard_error(found)))


def not_worse(name: str, line: Line | None, margin: float, missing: str) -> Gate:
    """Passes if the lower bound of a difference reaches -margin. Undecided: an equal model could miss it too."""
    if line is None:
        return Gate(name, "not measured", missing)
    found = line.found
    stated = (
        f"{found:+.3f} over {line.lists} lists of {line.clusters} clusters; the lower bound must reach {-margin:+.3f}"
    )
    if found.low >= -margin:
        return Gate(name, "passed", stated)
    power = power_of_equal(found, margin)
    if power < POWER and found.high >= -margin:
        more = lists_to_decide(found, margin, line.lists)
        return Gate(
            name,
            "undecided",
            f"{stated}; an equal model passes in {power:.0%} of samples like this: take {more:,} lists",
        )
    return Gate(name, "failed", stated)


def better(name: str, line: Line | None, missing: str) -> Gate:
    """Passes if the whole interval of a difference is above zero."""
    if line is None:
        return Gate(name, "not measured", missing)
    state: State = "passed" if line.found.low > 0 else "failed"
    return Gate(
        name, state, f"{line.found:+.3f} over {line.lists} lists of {line.clusters} clusters; asked: above zero"
    )


def at_most(name: str, line: Line | None, limit: float, missing: str) -> Gate:
    """Passes if the figure is at most `limit`."""
    if line is None:
        return Gate(name, "not measured", missing)
    state: State = "passed" if line.found.mean <= limit else "failed"
    return Gate(name, state, f"{line.found:.3f} over {line.lists} lists; asked: at most {limit:g}")


def verdict(gates: Sequence[Gate], student: str, split: str) -> Verdict:
    """Ships only if every gate passed; one that was not measured stops it too. Validation lists decide nothing."""
    if not student:
        return Verdict(None, "No student was given: this report compares the systems that exist, and decides nothing.")
    missed = [gate for gate in gates if gate.state != "passed"]
    if split != "test":
        passed = len(gates) - len(missed)
        sentence = f"On validation lists {passed} of {len(gates)} gates pass; only the test split decides."
        return Verdict(None, " ".join([sentence, *_missed_by_state(missed)]))
    if not missed:
        return Verdict(True, f"{student} may ship: all {len(gates)} gates passed.")
    sentence = f"{student} does not ship: {len(missed)} of {len(gates)} gates did not pass."
    return Verdict(False, " ".join([sentence, *_missed_by_state(missed)]))


def _missed_by_state(missed: Sequence[Gate]) -> list[str]:
    """A sentence for each state that has gates."""
    by_state = {
        state: [g.name for g in missed if g.state == state] for state in ("failed", "undecided", "not measured")
    }
    return [f"{state.capitalize()}: {', '.join(names)}." for state, names in by_state.items() if names]
