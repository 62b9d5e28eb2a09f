"""May a new student replace the live one, of any version? Only if it is not worse on the same held-out lists.

The margin is the smallest that the sample can decide: with it, an equal student passes with a power of .8.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.errors import UserError
from training.evaluation.decision.gates import decidable_margin, lists_to_decide
from training.evaluation.report import Decision
from training.metrics.cluster_bootstrap import clustered_interval
from training.metrics.measures import ratio

LEAST_MARGIN, WIDEST_MARGIN = 0.002, 0.02
"""What the lower bound of the difference in NDCG@10 may lose: at least and at most."""
FEWEST_CLUSTERS = 20
"""With fewer members, intervals are drawn over lists: a handful of draws shows no spread."""


class NotPromoted(UserError):
    """The new student may be worse than the live one; the message gives the difference with its interval."""


def decide(live: str, new_values: np.ndarray, live_values: np.ndarray, clusters: Sequence[str]) -> Decision:
    """Compare NDCG@10 list by list, f64[lists] each; lists of one cluster (a member) are drawn together."""
    found = new_values - live_values
    known = np.flatnonzero(~np.isnan(found))
    sums = np.stack([found[known], np.ones(len(known))], axis=1)[None]
    drawn = [clusters[int(row)] for row in known]
    if len(set(drawn)) < FEWEST_CLUSTERS:
        drawn = [str(row) for row in known]
    difference, lists = clustered_interval([sums], drawn, ratio), len(known)
    margin = decidable_margin(difference, LEAST_MARGIN, WIDEST_MARGIN)
    promoted = difference.low >= -margin
    sentence = (
        f"NDCG@10 of the new student minus {live}: {difference:+.4f} over {lists} lists;"
        f" its lower bound {'reaches' if promoted else 'is under'} {-margin:.3g}"
    )
    needed = lists_to_decide(difference, WIDEST_MARGIN, lists) if difference.high > difference.low else 0
    if needed > lists:
        sentence += f". An equal student needs about {needed:,} lists to pass such a gate"
    return Decision(live, difference, promoted, sentence)


def find_live(bundles: Path, name: str) -> Path | None:
    """The bundle with the highest version among `bundles`/NAME-v*; None where there is none."""
    named = [(re.fullmatch(rf"{re.escape(name)}-v(\d+)", path.name), path) for path in bundles.glob(f"{name}-v*")]
    found = [(int(match[1]), path) for match, path in named if match]
    return max(found)[1] if found else None
