"""The answer of `POST /score`, as plain values for the JSON writer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.heads import UNANSWERED
from models.text import TokenCounts
from service.http.answers.warnings import MEMBER, TextWarning, Warnings
from service.request import ItemStatus, ScoringRequest
from service.scoring.blending import ScoringResult

_NO_TEXT = TokenCounts(0, 0, 0)


def score_answer(request: ScoringRequest, result: ScoringResult, warnings: Warnings) -> dict[str, object]:
    """Scores in the order of the candidates; each says how its text is read. `warnings` only where there are some."""
    candidates, wanted = request.candidates, _wanted(request, result.model.heads)
    model, scored, counts = result.model, ItemStatus.scored, result.readings.candidates
    scores: list[dict[str, object]] = [
        {
            "id": candidate.id,
            "score": score,  # orjson writes NaN as null
            "heads": {name: None if row[index] == UNANSWERED else row[index] for name, index in wanted}
            if status is scored
            else None,
            "status": status,
            "tokens_read": (own := counts.get(place, _NO_TEXT)).read,
            "tokens_cut": own.cut,
        }
        for place, (candidate, score, row, status) in enumerate(
            zip(candidates, result.scores.tolist(), result.rows.tolist(), result.statuses, strict=True)
        )
    ]
    member: dict[str, object] = {
        "tokens_read": result.readings.member.read,
        "tokens_cut": result.readings.member.cut,
    }
    if request.explain:
        for score, changes in zip(scores, _changes(result), strict=True):
            score["explain"] = _explained(model.features.names, wanted, changes) if score["heads"] else None
    for place, each in warnings.items():
        (member if place == MEMBER else scores[place])["warnings"] = [_as_json(warning) for warning in each]
    named = {"name": model.name, "version": model.version, "policy": model.policy}
    return {"model": named, "member": member, "scores": scores, "degraded": result.degraded}


def _wanted(request: ScoringRequest, heads: Sequence[str]) -> list[tuple[str, int]]:
    """The heads to show, in the model's order, with their places."""
    wanted = heads if request.heads is None else request.heads
    return [(name, index) for index, name in enumerate(heads) if name in wanted]


def _changes(result: ScoringResult) -> list[list[list[float]]]:
    """By candidate, feature and head; all 0 where every feature is at its default."""
    changes = result.changes
    if changes is None:
        changes = np.zeros((len(result.rows), len(result.model.features), result.rows.shape[1]), np.float32)
    found: list[list[list[float]]] = changes.tolist()
    return found


def _explained(
    features: Sequence[str], wanted: Sequence[tuple[str, int]], changes: Sequence[Sequence[float]]
) -> dict[str, dict[str, float]]:
    """What each head changes when a feature falls back to its default."""
    return {
        name: {feature: by_head[index] for feature, by_head in zip(features, changes, strict=True)}
        for name, index in wanted
    }


def _as_json(warning: TextWarning) -> dict[str, object]:
    found: dict[str, object] = {"code": warning.code, "detail": warning.detail}
    return {**found, "fields": list(warning.fields)} if warning.fields else found
