"""From outcomes of model runs to a scoring result: one status, one row of heads and one blended score per candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.heads import UNANSWERED, blended
from service.batching.jobs import NoResult
from service.encoding.inputs import Prepared, Readings
from service.errors import DeadlinePassed, FieldError, Incomplete, Internal, Invalid
from service.registry.loading import LiveModel
from service.registry.operations import Rows
from service.request import ItemStatus
from service.scoring.chunks import Outcomes, one_row_each

STATUS_OF = {NoResult.failed: ItemStatus.failed, NoResult.late: ItemStatus.not_scored}
# A later try, or more time, would change these: with one of them a result is degraded.
_DEGRADED = {ItemStatus.failed, ItemStatus.not_scored, ItemStatus.cold, ItemStatus.store_down}
# More time would change these.
_LATE = {ItemStatus.not_scored, ItemStatus.cold}


@dataclass(frozen=True, slots=True, eq=False)
class ScoringResult:
    """In the order of the candidates; NaN without a score, as the status states.

    `rows` f32[candidates, heads] are the heads' probabilities, UNANSWERED where the texts do not say. `scores`
    f64[candidates] are their blend. `degraded`: a candidate that could have been scored was not. `changes`
    f32[candidates, features, heads], if they were asked for: what a head changes when a feature falls back to its
    default; NaN where unknown.
    """

    model: LiveModel
    statuses: list[ItemStatus]
    rows: Rows
    scores: NDArray[np.float64]
    degraded: bool
    readings: Readings
    changes: NDArray[np.float32] | None = None


def check_heads(model: LiveModel, heads: Sequence[str] | None) -> None:
    """Raise Invalid for a head that the model does not have."""
    sentence = f"names an unknown head; this model's heads are {', '.join(model.heads)}"
    faults = [
        FieldError(f"/heads/{place}", sentence) for place, each in enumerate(heads or ()) if each not in model.heads
    ]
    if faults:
        raise Invalid(errors=faults)


def blend_weights(model: LiveModel, blend: Mapping[str, float] | None) -> list[float]:
    """One weight per head, with sum 1. Raises Invalid for a head that the model does not have."""
    chosen = model.default_blend if blend is None else blend
    if not set(chosen) <= set(model.heads):
        known = ", ".join(model.heads)
        raise Invalid(errors=[FieldError("/blend", f"names an unknown head; this model's heads are {known}")])
    total = sum(chosen.values())
    if not 0 < total < float("inf"):
        raise Invalid(errors=[FieldError("/blend", "must add up to a number above 0, and not beyond the largest one")])
    return [chosen.get(head, 0.0) / total for head in model.heads]


def blend(
    model: LiveModel, prepared: Prepared, outcomes: Sequence[Rows | NoResult], weights: Sequence[float], num: int
) -> ScoringResult:
    """The result for `num` candidates.

    A row that is not finite is a failure of that candidate alone.
    """
    rows = np.full((num, len(model.heads)), np.nan, dtype=np.float32)
    statuses = [ItemStatus.scored] * num
    for place, settled in prepared.settled.items():
        statuses[place] = STATUS_OF[settled] if isinstance(settled, NoResult) else settled
    num_blocks = len(prepared.places)
    for places, outcome in _by_candidate(model, prepared, outcomes[:num_blocks]):
        if isinstance(outcome, NoResult):
            for place in places:
                statuses[place] = STATUS_OF[outcome]
        else:
            rows[places] = outcome
    for place in np.flatnonzero(~np.isfinite(rows).all(axis=1)).tolist():
        rows[place] = np.nan
        if statuses[place] is ItemStatus.scored:
            statuses[place] = ItemStatus.failed
    degraded = not _DEGRADED.isdisjoint(statuses)
    scores = blended(rows, weights)
    changes = _changes(model, prepared, rows, outcomes[num_blocks:]) if prepared.explained else None
    return ScoringResult(model, statuses, rows, scores, degraded, prepared.readings, changes)


def _by_candidate(model: LiveModel, prepared: Prepared, outcomes: Sequence[Rows | NoResult]) -> Outcomes:
    """Places of candidates, each with the outcome that fills them."""
    found = list(zip(prepared.places, outcomes, strict=True))
    return one_row_each(model, found) if model.encoder.chunks > 1 else found


def _changes(
    model: LiveModel, prepared: Prepared, rows: Rows, outcomes: Sequence[Rows | NoResult]
) -> NDArray[np.float32]:
    """What the rows with one feature at its default differ by. A feature that is at its default changes nothing."""
    changes = np.zeros((len(rows), len(model.features), rows.shape[1]), np.float32)
    num_blocks = len(prepared.places)
    for number, index in enumerate(prepared.explained):
        again = outcomes[number * num_blocks : (number + 1) * num_blocks]
        for places, outcome in _by_candidate(model, prepared, again):
            if isinstance(outcome, NoResult):
                changes[places, index] = np.nan
                continue
            is_unanswered = (outcome == UNANSWERED) | (rows[places] == UNANSWERED)
            changes[places, index] = np.where(is_unanswered, np.nan, outcome - rows[places])
    return changes


def refuse_part(result: ScoringResult, ready_in_s: float, *, whole: bool) -> None:
    """Raise DeadlinePassed if there was time for no candidate.

    If the scores must be `whole`, raise Incomplete if there was no time for some, and Internal if the model failed on
    all. A candidate that it fails on alone is no reason: it would fail again.

    `ready_in_s`: the seconds after which a further try succeeds.
    """
    scored = result.statuses.count(ItemStatus.scored)
    if whole and not scored and ItemStatus.failed in result.statuses:
        raise Internal("the model failed on every document")
    if _LATE.isdisjoint(result.statuses):
        return
    if whole:
        detail = f"{scored} of {len(result.statuses)} documents are scored; the others are worked on"
        raise Incomplete(detail, retry_after_s=ready_in_s)
    if not scored:
        raise DeadlinePassed
