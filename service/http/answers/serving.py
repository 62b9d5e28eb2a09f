"""What every scoring route does: score until the client disconnects, count, and answer. Knows no shape of a body."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import orjson
from fastapi import Request
from starlette.types import Receive

from service.http.answers.warnings import Warnings, count_texts, warnings_of
from service.http.context import AppContext, NotedResponse, RequestContext, ResponseNote
from service.http.guard import ClientDisconnected
from service.products.product import Product
from service.request import ScoringRequest
from service.scoring.blending import ScoringResult

JSON = "application/json"


def contexts(request: Request) -> tuple[AppContext, RequestContext]:  # a dependency of FastAPI would cost time
    return request.app.state.context, request.state.context


async def scored(
    request: ScoringRequest, receive: Receive, product: Product, app: AppContext, context: RequestContext
) -> tuple[ScoringResult, Warnings]:
    """Score. Raises ClientDisconnected, and cancels the work, if the client disconnects."""
    request = replace(request, id=context.id, caller=context.caller.name, body_bytes=context.body_bytes)
    context.timings.lap("parse")
    scoring = asyncio.ensure_future(product.score(request, context.timings))
    disconnect = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((scoring, disconnect), return_when=asyncio.FIRST_COMPLETED)
        if not scoring.done():
            raise ClientDisconnected
        result = scoring.result()
    finally:
        disconnect.cancel()
        scoring.cancel()
    warnings = warnings_of(result.readings, request.member, request.candidates, app.limits.max_text_chars)
    count_texts(app.metrics, result.readings, warnings)
    return result, warnings


def answered(body: object, result: ScoringResult, context: RequestContext, app: AppContext) -> NotedResponse:
    """The response with this body as JSON; counted, with its stages as Server-Timing."""
    raw = orjson.dumps(body)
    context.timings.lap("answer")
    response = NotedResponse(raw, media_type=JSON, headers={"Server-Timing": context.timings.header()})
    app.metrics.scored(Counter[str](result.statuses), context.timings.stages)
    app.head_scores.add(result)
    app.drift.add(result)
    response.note = ResponseNote(
        partial=result.degraded,
        model=f"{result.model.name}@{result.model.version}",
        num_pairs=len(result.statuses),
    )
    return response
