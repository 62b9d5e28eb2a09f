"""What every scoring route does: score until the client disconnects, count, and answer. Knows no shape of a body."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import orjson
from starlette.types import Receive

from service.encoding.inputs import Readings
from service.http.answers.warnings import Warnings, warnings_of
from service.http.context import AppContext, NotedResponse, RequestContext, ResponseNote
from service.http.guard import ClientDisconnected
from service.observability.metrics import Metrics
from service.products.product import Product
from service.request import ScoringRequest
from service.scoring.blending import ScoringResult

JSON = "application/json"
# A request that is done sooner is not watched for its client's disconnection: there is little work to save.
UNWATCHED_S = 0.05


async def scored(
    request: ScoringRequest, receive: Receive, product: Product, app: AppContext, context: RequestContext
) -> tuple[ScoringResult, Warnings]:
    """Score. Raises ClientDisconnected, and cancels the work, if the client disconnects."""
    request = replace(request, id=context.id, caller=context.caller.name, body_bytes=len(context.body))
    context.timings.lap("parse")
    scoring = asyncio.ensure_future(product.score(request, context.timings))
    try:
        await asyncio.wait((scoring,), timeout=UNWATCHED_S)
        if not scoring.done():
            await _done_or_disconnected(scoring, receive)
        result = scoring.result()
    finally:
        scoring.cancel()
    warnings = warnings_of(result.readings, request.member, request.candidates, app.limits.max_text_chars)
    return result, warnings


async def _done_or_disconnected(scoring: asyncio.Future[ScoringResult], receive: Receive) -> None:
    disconnect = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((scoring, disconnect), return_when=asyncio.FIRST_COMPLETED)
    finally:
        disconnect.cancel()
    if not scoring.done():
        raise ClientDisconnected


def answered(
    body: object, result: ScoringResult, warnings: Warnings, context: RequestContext, app: AppContext
) -> NotedResponse:
    """The response with this body as JSON; counted, with its stages as Server-Timing."""
    raw = orjson.dumps(body)
    context.timings.lap("answer")
    response = NotedResponse(raw, media_type=JSON, headers={"Server-Timing": context.timings.header()})
    _count_texts(app.metrics, result.readings, warnings)
    app.metrics.scored(Counter[str](result.statuses), context.timings.stages)
    app.head_scores.add(result)
    app.drift.add(result)
    response.note = ResponseNote(
        partial=result.degraded,
        model=f"{result.model.name}@{result.model.version}",
        num_pairs=len(result.statuses),
    )
    return response


def _count_texts(metrics: Metrics, readings: Readings, warnings: Warnings) -> None:
    """Count the tokens of a request's texts, and its warnings by their codes."""
    member = readings.member
    read = cut = unknown = 0
    for each in readings.candidates.values():
        read += each.read
        cut += each.cut
        unknown += each.unknown
    codes = Counter(warning.code for found in warnings.values() for warning in found)
    metrics.texts_read((member.read, member.cut, member.unknown), (read, cut, unknown), codes.items())
