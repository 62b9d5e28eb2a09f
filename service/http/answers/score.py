"""The answer of `POST /score`, as plain values for the JSON writer."""

from __future__ import annotations

from collections.abc import Sequence

from models.heads import UNANSWERED
from models.text import TokenCounts
from service.http.answers.warnings import MEMBER, TextWarning, Warnings
from service.request import Item, ItemStatus
from service.scoring.blending import ScoringResult

_NO_TEXT = TokenCounts(0, 0, 0)


def score_answer(candidates: Sequence[Item], result: ScoringResult, warnings: Warnings) -> dict[str, object]:
    """Scores in the order of the candidates; each says how its text is read. `warnings` only where there are some."""
    model, scored, counts = result.model, ItemStatus.scored, result.readings.candidates
    scores: list[dict[str, object]] = [
        {
            "id": candidate.id,
            "score": score,  # orjson writes NaN as null
            "heads": _heads(model.heads, row) if status is scored else None,
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
    for place, each in warnings.items():
        (member if place == MEMBER else scores[place])["warnings"] = [_as_json(warning) for warning in each]
    named = {"name": model.name, "version": model.version, "policy": model.policy}
    return {"model": named, "member": member, "scores": scores, "degraded": result.degraded}


def _heads(names: Sequence[str], row: Sequence[float]) -> dict[str, float | None]:
    return {name: None if value == UNANSWERED else value for name, value in zip(names, row, strict=True)}


def _as_json(warning: TextWarning) -> dict[str, object]:
    found: dict[str, object] = {"code": warning.code, "detail": warning.detail}
    return {**found, "fields": list(warning.fields)} if warning.fields else found
