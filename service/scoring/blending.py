"""From outcomes of model runs to a scoring result: one status, one row of heads and one blended score per candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.batching.jobs import NoResult
from service.encoding.inputs import Prepared
from service.errors import DeadlinePassed, FieldError, Invalid
from service.registry.loading import LiveModel
from service.registry.operations import Rows
from service.request import ItemStatus

STATUS_OF = {NoResult.failed: ItemStatus.failed, NoResult.late: ItemStatus.not_scored}
# A later try, or more time, would change these: with one of them a result is degraded.
_DEGRADED = {ItemStatus.failed, ItemStatus.not_scored, ItemStatus.cold, ItemStatus.store_down}
# These candidates have no text to score, and more time would not change that.
_UNSCORABLE = {ItemStatus.unknown_candidate, ItemStatus.invalid, ItemStatus.store_down}


@dataclass(frozen=True, slots=True, eq=False)
class ScoringResult:
    """In the order of the candidates; NaN without a score, as the status states.

    `rows` f32[candidates, heads] are the heads' probabilities, `scores` f64[candidates] their blend. `degraded`: a
    candidate that could have been scored was not.
    """

    model: LiveModel
    statuses: list[ItemStatus]
    rows: Rows
    scores: NDArray[np.float64]
    degraded: bool


def blend_weights(model: LiveModel, blend: Mapping[str, float] | None) -> list[float]:
    """One weight per head, with sum 1. Raises Invalid for a head that the model does not have."""
    chosen = model.default_blend if blend is None else blend
    if not set(chosen) <= set(model.heads):
        fault = FieldError("/blend", "names an unknown head")
        raise Invalid(f"this model's heads are {', '.join(model.heads)}", errors=[fault])
    total = sum(chosen.values())
    if not 0 < total < float("inf"):
        fault = FieldError("/blend", "must add up to more than 0")
        raise Invalid("the weights of a blend must add up to more than 0", errors=[fault])
    return [chosen.get(head, 0.0) / total for head in model.heads]


def blend(
    model: LiveModel, prepared: Prepared, outcomes: Sequence[Rows | NoResult], weights: Sequence[float], num: int
) -> ScoringResult:
    """The result for `num` candidates. Raises DeadlinePassed if all that could be scored were late.

    A row that is not finite is a failure of that candidate alone.
    """
    rows = np.full((num, len(model.heads)), np.nan, dtype=np.float32)
    statuses = [ItemStatus.scored] * num
    for place, settled in prepared.settled.items():
        statuses[place] = STATUS_OF[settled] if isinstance(settled, NoResult) else settled
    for places, outcome in zip(prepared.places, outcomes, strict=True):
        if isinstance(outcome, NoResult):
            for place in places:
                statuses[place] = STATUS_OF[outcome]
        else:
            rows[places] = outcome
    for place in np.flatnonzero(~np.isfinite(rows).all(axis=1)).tolist():
        rows[place] = np.nan
        if statuses[place] is ItemStatus.scored:
            statuses[place] = ItemStatus.failed
    if set(statuses) - _UNSCORABLE == {ItemStatus.not_scored}:
        raise DeadlinePassed
    degraded = not _DEGRADED.isdisjoint(statuses)
    return ScoringResult(model, statuses, rows, rows.astype(np.float64) @ weights, degraded)
