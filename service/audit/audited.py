"""From the service's words to the log's: what was ordered and answered, as it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from models.template import Content
from service.audit.record import AuditRecord
from service.request import Item, ScoringRequest
from service.scoring.pipeline import ScoringResult


def resolved(order: ScoringRequest, stored: Mapping[str, Content]) -> ScoringRequest:
    """The order with stored candidates in place of their ids: what is written down must be what was scored."""
    entries = [each if each.content is not None else Item(each.id, stored.get(each.id)) for each in order.candidates]
    return replace(order, candidates=entries)


def scored_of(order: ScoringRequest, answer: ScoringResult, request_id: str, caller: str) -> AuditRecord:
    """One record."""
    return AuditRecord(
        request_id=request_id,
        caller=caller,
        model=answer.model.name,
        version=answer.model.version,
        member=order.member.content,
        candidates=[(each.id, each.content) for each in order.candidates],
        blend=order.blend,
        statuses=[status.value for status in answer.statuses],
        rows=answer.rows.tolist(),
        scores=answer.scores.tolist(),
        degraded=answer.degraded,
    )
