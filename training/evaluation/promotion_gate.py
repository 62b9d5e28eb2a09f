"""May a new student replace the live one? Only if it is not clearly worse on the same held-out lists."""

from __future__ import annotations

import numpy as np

from training.errors import UserError
from training.evaluation.report import Decision
from training.metrics.bootstrap import bootstrap

LEAST_DIFFERENCE = -0.002
"""The lower bound of the difference may lose at most 0.2 points of NDCG@10."""


class NotPromoted(UserError):
    """The new student may be worse than the live one; the message gives the difference with its interval."""


def decide(live: str, new_values: np.ndarray, live_values: np.ndarray) -> Decision:
    """Compare NDCG@10 list by list, f64[lists] each."""
    difference = bootstrap(new_values - live_values)
    promoted = difference.low >= LEAST_DIFFERENCE
    sentence = (
        f"NDCG@10 of the new student minus {live}: {difference:+.4f};"
        f" its lower bound {'reaches' if promoted else 'is under'} {LEAST_DIFFERENCE}"
    )
    return Decision(live, difference, promoted, sentence)
