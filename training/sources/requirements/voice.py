"""How forms are chosen: seeded, and with some forms kept for tests.

A `Voice` is one speaker. `part` gives an independent stream for one part of a text, so that two jobs that differ in one
fact share every other word.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

Which = Literal["seen", "new"]
T = TypeVar("T")
KEPT = 4  # every fourth form of a tuple of four or more is kept for tests


@dataclass(frozen=True)
class Voice:
    """Chooses among forms; "seen" forms are for training, "new" ones for tests alone."""

    seed: str
    which: Which = "seen"
    rng: random.Random = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rng", random.Random(self.seed))

    def part(self, name: str) -> Voice:
        """The stream of one part of the text."""
        return Voice(f"{self.seed} {name}", self.which)

    def pick(self, forms: Sequence[T]) -> T:
        """One of the forms that this voice may use; a tuple of fewer than four is used whole."""
        if len(forms) < KEPT:
            return self.rng.choice(forms)
        new = self.which == "new"
        return self.rng.choice([form for place, form in enumerate(forms) if (place % KEPT == KEPT - 1) == new])

    def chance(self, share: float) -> bool:
        return self.rng.random() < share
