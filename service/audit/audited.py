"""From the service's words to the log's: what was ordered and answered, as it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from service.audit.record import Content, Scored
from service.encoding.tokenization import Entry
from service.request import Order
from service.scoring.pipeline import Answer


def resolved(order: Order, stored: Mapping[str, Content]) -> Order:
    """The order with stored candidates in place of their ids: what is written down must be what was scored."""
    entries = [each if each.content is not None else Entry(each.id, stored.get(each.id)) for each in order.candidates]
    return replace(order, candidates=entries)


def scored_of(order: Order, answer: Answer, request_id: str, caller: str) -> Scored:
    """One record."""
    return Scored(
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
