"""One outcome for each candidate whose text is scored in chunks. Knows rows and places, no texts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from service.batching.jobs import NoResult
from service.registry.loading import LiveModel
from service.registry.operations import Rows

Outcomes = Sequence[tuple[list[int], Rows | NoResult]]
"""Places of candidates, and the rows that fill them in this order, or why there are none."""


def one_row_each(model: LiveModel, outcomes: Outcomes) -> Outcomes:
    """Outcomes in which a candidate has a row for each of its chunks, one after another -> one row for each candidate.

    Without a result for one chunk there is none for its candidate.
    """
    lost = {place: outcome for places, outcome in outcomes if isinstance(outcome, NoResult) for place in places}
    found = [(places, outcome) for places, outcome in outcomes if not isinstance(outcome, NoResult)]
    owners = np.array([place for places, _ in found for place in places], dtype=np.int64)
    whole: list[tuple[list[int], Rows | NoResult]] = [([place], reason) for place, reason in lost.items()]
    if found:
        kept = ~np.isin(owners, list(lost))
        groups = [(place, len(list(own))) for place, own in groupby(owners[kept].tolist())]
        rows = np.concatenate([outcome.reshape(-1, len(model.heads)) for _, outcome in found])[kept]
        whole.append(([place for place, _ in groups], model.best_chunk.rows(rows, [count for _, count in groups])))
    return whole
