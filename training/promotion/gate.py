"""The gate: may a new bundle replace the live one? Both score the same held-out lists, each by its own template.

The difference is paired by list and its interval drawn over members; the margin is what the sample can decide.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from training.data.lists import FieldList
from training.errors import UserError
from training.evaluation.promotion_gate import decide
from training.evaluation.report import Decision
from training.evaluation.systems.bundles import bundle_system, head_name
from training.metrics.ranking import evaluate_lists, ndcg_at_10

MOST_LISTS = 2000


def compare(new: Path, live: Path, lists: Iterable[FieldList], head: str) -> Decision:
    """NDCG@10 of `head` on test lists. Raises UserError where one has no such head, or nothing can be compared."""
    held_out = [each for each in lists if each.split == "test" and _is_judged(each, head)][:MOST_LISTS]
    if not held_out:
        raise UserError(f"no test list has a grade of {head!r}: there is nothing to compare the bundles on")
    found, usual = (_ndcg(path, held_out, head) for path in (new, live))
    members = [json.dumps(each.member, sort_keys=True, default=str) for each in held_out]
    return decide(live.name, found, usual, members)


def _is_judged(each: FieldList, head: str) -> bool:
    return any(gain is not None and gain > 0 for gain in each.labels.get(head, ()))


def _ndcg(path: Path, lists: Sequence[FieldList], head: str) -> np.ndarray:
    """NDCG@10 of each list, f64[lists]."""
    scores = bundle_system(path, path.name, "other").score(lists)
    if head_name(head) not in scores:
        raise UserError(f"{path} has no head {head!r}: bundles with other heads cannot be compared")
    ends = np.cumsum([len(each.candidates) for each in lists])[:-1]
    gains = [
        np.array([np.nan if gain is None else gain for gain in each.labels[head]], dtype=np.float64) for each in lists
    ]
    return evaluate_lists(ndcg_at_10, np.split(scores[head_name(head)], ends), gains)
