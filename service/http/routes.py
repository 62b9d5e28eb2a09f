"""Routes: wire shapes in, wire shapes out. What happens between stands in `scoring.py` and `lifecycle.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from service.errors import (
    BadRequest,
    Conflict,
    Crowded,
    DeadlinePassed,
    Forbidden,
    HeadersTooLarge,
    Internal,
    Invalid,
    Misdirected,
    NotFound,
    NotJson,
    NotReady,
    NotRecorded,
    Overloaded,
    QuotaSpent,
    StoreFull,
    StoreUnavailable,
    TooLarge,
    TooSlow,
    Unauthorized,
    UnsupportedMedia,
)
from service.http import schemas
from service.http.compat.rerank import answer_of, entries_of
from service.http.context import AtDesk, Desk
from service.http.guard import ClientDisconnected, RequestContext
from service.http.problems import DEADLINE_HEADER, problems
from service.http.strict_json import read_json
from service.observability.timings import Timings
from service.request import Item, ItemStatus, Priority, ScoringRequest
from service.scoring.pipeline import ScoringResult

T = TypeVar("T")
JSON = "application/json"


class _StrictJsonRequest(Request):
    async def json(self) -> object:
        return read_json(await self.body())


class StrictJsonRoute(APIRoute):
    """A route whose body is read by `_StrictJsonRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler, given the stricter request."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictJsonRequest(request.scope, request.receive))

        return handle_strictly


# The errors of every operation that the guard protects, and of those with a body.
GUARDED = (
    BadRequest, Unauthorized, Forbidden, TooSlow, TooLarge, Misdirected, HeadersTooLarge, Internal, Crowded,
)  # fmt: skip
WITH_BODY = (NotJson, Invalid, *GUARDED)
SCORING = problems(UnsupportedMedia, QuotaSpent, NotReady, Overloaded, NotRecorded, DeadlinePassed, *WITH_BODY)
ROLLING_OUT = problems(NotFound, Conflict, *WITH_BODY)
NOT_YET: dict[int | str, dict[str, Any]] = {503: {"model": schemas.Probe, "description": "The answer is no"}}
# The guard reads the header; the routes only document it.
DEADLINE: dict[str, Any] = {
    "parameters": [
        {
            "name": DEADLINE_HEADER,
            "in": "header",
            "required": False,
            "description": "Deadline in milliseconds from arrival. If the body has one too, the earlier one counts.",
            "schema": {"type": "integer", "minimum": 1, "maximum": schemas.MAX_DEADLINE_MS},
        }
    ]
}
router = APIRouter(route_class=StrictJsonRoute)


@router.post("/score", response_model=schemas.ScoreResponse, responses=SCORING, openapi_extra=DEADLINE)
async def score(request: Request, body: schemas.ScoreRequest, at: AtDesk) -> Response:
    """Score candidates for one member; answers stand in request order."""
    candidates = [Item(each.id, each.text if each.fields is None else each.fields) for each in body.candidates]
    member = Item("", body.member.text if body.member.fields is None else body.member.fields)
    at.check_sizes(candidates, "/candidates")
    at.check_length(member, "/member")
    visit = visit_of(request)
    deadline = at.deadline(visit.arrived, body.deadline_ms, visit.deadline_ms)
    answer, timings = await _answer(
        request, at, ScoringRequest(member, candidates, body.blend, deadline, body.priority)
    )
    return _respond(request, at, answer, timings, _wire(candidates, answer))


def _wire(candidates: list[Item], answer: ScoringResult) -> dict[str, object]:
    model, scored = answer.model, ItemStatus.scored
    scores = [
        {
            "id": candidate.id,
            "score": score,  # orjson writes NaN as null
            "heads": dict(zip(model.heads, row, strict=True)) if status is scored else None,
            "status": status,
        }
        for candidate, score, row, status in zip(
            candidates, answer.scores.tolist(), answer.rows.tolist(), answer.statuses, strict=True
        )
    ]
    named = {"name": model.name, "version": model.version, "policy": model.policy}
    return {"model": named, "scores": scores, "degraded": answer.degraded}


RERANK_ANSWER = schemas.RerankResponse | list[schemas.TeiRank]


@router.post("/rerank", response_model=RERANK_ANSWER, responses=SCORING, openapi_extra=DEADLINE)
@router.post("/v1/rerank", response_model=RERANK_ANSWER, include_in_schema=False)
@router.post("/v2/rerank", response_model=RERANK_ANSWER, include_in_schema=False)
async def rerank(request: Request, body: schemas.RerankRequest, at: AtDesk) -> Response:
    """Cohere's and Jina's shape (`documents`) or TEI's (`texts`); the scores are the model's default blend."""
    member, candidates = Item("", body.query), entries_of(body)
    at.check_sizes(candidates, "/texts" if body.documents is None else "/documents")
    at.check_length(member, "/query")
    visit = visit_of(request)
    deadline = at.deadline(visit.arrived, visit.deadline_ms)
    order = ScoringRequest(member, candidates, None, deadline, Priority.default)
    answer, timings = await _answer(request, at, order)
    return _respond(request, at, answer, timings, answer_of(body, answer, visit.id))


def visit_of(request: Request) -> RequestContext:
    """What the door knows of this request."""
    visit: RequestContext = request.state.visit
    return visit


async def _answer(request: Request, at: Desk, order: ScoringRequest) -> tuple[ScoringResult, Timings]:
    visit = visit_of(request)
    visit.timings.lap("parse")
    at.charge(visit.caller.name, len(order.candidates))
    order = await at.recordable(order)
    answer = await _unless_departed(request, at.traffic.score(order, visit.timings))
    at.record(order, answer, visit.id, visit.caller.name)
    return answer, visit.timings


async def _unless_departed(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; it is cancelled, and Departed raised, when the client hangs up first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnected
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


def _respond(request: Request, at: Desk, answer: ScoringResult, timings: Timings, body: object) -> Response:
    raw = orjson.dumps(body)
    timings.lap("answer")
    at.metrics.scored(answer.statuses, timings.stages)
    visit_of(request).partial = answer.degraded
    return Response(raw, media_type=JSON, headers={"Server-Timing": timings.header()})


@router.put(
    "/candidates",
    response_model=schemas.PutResponse,
    responses=problems(UnsupportedMedia, Overloaded, StoreUnavailable, StoreFull, *WITH_BODY),
)
async def put_candidates(body: schemas.PutCandidates, at: AtDesk) -> Response:
    """Insert or replace candidates, all or none; they can be scored by id alone, for `ttl_s` seconds or for good.

    A split model encodes them while nothing else is to do; 503 while too many wait for that. Whoever loads many sends
    no more than there is `room` for, and sees by `waiting` how far they are.
    """
    entries = [Item(each.id, each.text if each.fields is None else each.fields) for each in body.candidates]
    at.check_sizes(entries, "/candidates")
    at.scoring.check_place(len(entries))
    await at.keep({entry.id: entry.content for entry in entries if entry.content is not None}, body.ttl_s)
    await at.scoring.encode_ahead(entries)
    return Response(orjson.dumps({"upserted": len(entries), **_progress(at)}), media_type=JSON)


@router.get("/candidates:progress", response_model=schemas.Progress, responses=problems(*GUARDED))
async def encoding_progress(at: AtDesk) -> Response:
    """How many stored candidates still wait to be encoded, and how many more may."""
    return Response(orjson.dumps(_progress(at)), media_type=JSON)


def _progress(at: Desk) -> dict[str, int]:
    ahead = at.scoring.ahead
    return {"waiting": ahead.unfinished, "room": ahead.room}


@router.delete(
    "/candidates/{candidate_id:path}", status_code=204, responses=problems(NotFound, StoreUnavailable, *GUARDED)
)
async def delete_candidate(candidate_id: str, at: AtDesk) -> Response:
    """Forget a candidate."""
    if not await at.forget(candidate_id):
        raise NotFound("no candidate has this id")
    return Response(status_code=204)


@router.get("/v1/models", response_model=schemas.ModelsResponse, responses=problems(*GUARDED))
async def list_models(at: AtDesk) -> Response:
    """The live model, and the sound bundles beside it."""
    listed = {"models": await at.lifecycle.list_models(), "fault": at.traffic.fault}
    return Response(orjson.dumps(listed), media_type=JSON)


@router.post(
    "/v1/models/{version}:activate", response_model=schemas.ModelEntry, responses=problems(NotFound, Conflict, *GUARDED)
)
async def activate_model(version: str, at: AtDesk) -> Response:
    """Load another version of the live model beside it, verify and warm it, then swap.

    The old one stays when anything fails.
    """
    return Response(orjson.dumps(await at.lifecycle.activate(version)), media_type=JSON)


@router.post("/v1/models/{version}:shadow", response_model=schemas.ModelEntry, responses=ROLLING_OUT)
async def shadow_model(version: str, body: schemas.Share, at: AtDesk) -> Response:
    """Have this version score a share of the requests too, after their answers; what it says is compared and dropped.

    It ends by itself when the version fails, is slow, or scores otherwise than the live model.
    """
    return Response(orjson.dumps(await at.lifecycle.roll_out(version, "shadow", body.share)), media_type=JSON)


@router.post("/v1/models/{version}:canary", response_model=schemas.ModelEntry, responses=ROLLING_OUT)
async def canary_model(version: str, body: schemas.Share, at: AtDesk) -> Response:
    """Have this version answer a share of the requests; it ends by itself as a shadow does."""
    return Response(orjson.dumps(await at.lifecycle.roll_out(version, "canary", body.share)), media_type=JSON)


@router.post("/v1/models/{version}:rollback", response_model=schemas.ModelEntry, responses=problems(Conflict, *GUARDED))
async def roll_back_model(version: str, at: AtDesk) -> Response:
    """Leave this version, the live one, for the one that was live before it and is still in memory.

    409 when it is not live (any more), so telling it twice does no harm.
    """
    return Response(orjson.dumps(await at.lifecycle.roll_back(version)), media_type=JSON)


@router.get("/livez", response_model=schemas.Probe, responses=NOT_YET)
async def livez(at: AtDesk) -> Response:
    """200 from the first moment; 503 once the model thread is dead."""
    return _probe(at, ok=at.lifecycle.phase not in ("dead", "failed"))


@router.get("/readyz", response_model=schemas.Probe, responses=NOT_YET)
async def readyz(at: AtDesk) -> Response:
    """200 while requests should be sent here."""
    return _probe(at, ok=at.lifecycle.phase == "ready")


@router.get("/startupz", response_model=schemas.Probe, responses=NOT_YET)
async def startupz(at: AtDesk) -> Response:
    """200 once the model has been loaded."""
    return _probe(at, ok=at.lifecycle.loaded)


def _probe(at: Desk, *, ok: bool) -> Response:
    return Response(orjson.dumps({"phase": at.lifecycle.phase}), 200 if ok else 503, media_type=JSON)


@router.get("/metrics", response_class=Response)
async def metrics(at: AtDesk) -> Response:
    """Prometheus' text format."""
    at.lifecycle.refresh_gauges()
    return Response(at.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
