"""May a new student replace the one that is live? Only when it is not clearly worse on the same held-out lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.errors import UserError
from training.metrics.bootstrap import Interval, bootstrap

LEAST_DIFFERENCE = -0.002
"""0.2 points of NDCG@10: what the lower bound of the difference may lose and no more."""


class NotPromoted(UserError):
    """The new student may be worse than the live one; the sentence gives the difference with its interval."""


@dataclass(frozen=True)
class Decision:
    """The difference of new and live in NDCG@10 over the same lists, and whether that is enough."""

    live: str
    difference: Interval
    promoted: bool

    @property
    def sentence(self) -> str:
        """What a person should read."""
        found = self.difference
        bound = "reaches" if self.promoted else "is under"
        return (
            f"NDCG@10 of the new student minus {self.live}: {found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}];"
            f" its lower bound {bound} {LEAST_DIFFERENCE}"
        )


def decide(live: str, new_values: np.ndarray, live_values: np.ndarray) -> Decision:
    """Compare NDCG@10 list by list, f64[lists] each."""
    difference = bootstrap(new_values - live_values)
    return Decision(live, difference, difference.low >= LEAST_DIFFERENCE)
