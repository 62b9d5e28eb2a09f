"""Routes: wire shapes in, wire shapes out. What happens between stands in `scoring.py` and `lifecycle.py`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.routing import APIRoute

from service import schemas
from service.admission import QuotaExceeded, Quotas
from service.candidates import CandidatesFull, CandidateStore
from service.door import Departed
from service.errors import FieldError, Invalid, NotFound, NotJson, QuotaSpent, StoreFull
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.scoring import Answer, Order, Scoring
from service.texts import Entry
from service.timings import Timings
from service.work import PairStatus, Priority

T = TypeVar("T")
JSON = "application/json"


class _StrictJsonRequest(Request):
    """orjson instead of json: NaN, Infinity, lone surrogates and bottomless nesting are not JSON."""

    async def json(self) -> Any:
        try:
            return orjson.loads(await self.body())
        except orjson.JSONDecodeError:
            raise NotJson from None


class StrictJsonRoute(APIRoute):
    """A route whose body is read by `_StrictJsonRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler, given the stricter request."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictJsonRequest(request.scope, request.receive))

        return handle_strictly


class Desk:
    """What the routes need, wired once by `create_app`."""

    def __init__(
        self,
        *,
        scoring: Scoring,
        store: CandidateStore,
        lifecycle: Lifecycle,
        metrics: Metrics,
        quotas: Quotas | None,
        max_candidates: int,
        max_text_chars: int,
        default_deadline_s: float,
    ) -> None:
        self.scoring = scoring
        self.store = store
        self.lifecycle = lifecycle
        self.metrics = metrics
        self._quotas = quotas
        self._max_candidates = max_candidates
        self._max_text_chars = max_text_chars
        self._default_deadline_s = default_deadline_s

    def deadline(self, arrived: float, *stated_ms: int | None) -> float:
        """Monotonic seconds; the soonest of what was stated, else the default."""
        stated = [ms / 1000 for ms in stated_ms if ms is not None]
        return arrived + min(stated, default=self._default_deadline_s)

    def charge(self, caller: str, num_pairs: int) -> None:
        """Take a request from its caller's quota. Raises QuotaSpent."""
        if self._quotas is None:
            return
        try:
            self._quotas.take(caller, num_pairs, time.monotonic())
        except QuotaExceeded as refusal:
            raise QuotaSpent(retry_after_s=refusal.retry_after_s) from None

    def check_sizes(self, entries: list[Entry], where: str) -> None:
        """Raise Invalid for too many entries, the same id twice, or a text that is too long."""
        if len(entries) > self._max_candidates:
            raise Invalid(errors=[FieldError(where, f"at most {self._max_candidates} entries")])
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            if entry.id in seen:
                raise Invalid(errors=[FieldError(f"{where}/{index}/id", "stands twice")])
            seen.add(entry.id)
            self.check_length(entry, f"{where}/{index}")

    def check_length(self, entry: Entry, where: str) -> None:
        """Raise Invalid for a text, or fields, of too many characters."""
        content = entry.content
        if content is None:
            return
        length = len(content) if isinstance(content, str) else sum(len(str(value)) for value in content.values())
        if length > self._max_text_chars:
            raise Invalid(errors=[FieldError(where, f"at most {self._max_text_chars} characters")])


def desk(request: Request) -> Desk:
    """The app's desk."""
    found: Desk = request.app.state.desk
    return found


AtDesk = Annotated[Desk, Depends(desk)]
DeadlineHeader = Annotated[int | None, Header(alias="X-Deadline-Ms", ge=1, le=600_000)]

PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": schemas.Problem, "content": {"application/problem+json": {}}}
    for code in (400, 401, 403, 413, 415, 422, 429, 431, 500, 503, 504)
}
router = APIRouter(route_class=StrictJsonRoute, responses=PROBLEMS)


@router.post("/score", response_model=schemas.ScoreResponse)
async def score(
    request: Request, body: schemas.ScoreRequest, at: AtDesk, x_deadline_ms: DeadlineHeader = None
) -> Response:
    """Score candidates for one member; answers stand in request order."""
    candidates = [Entry(each.id, each.text if each.fields is None else each.fields) for each in body.candidates]
    member = Entry("", body.member.text if body.member.fields is None else body.member.fields)
    at.check_sizes(candidates, "/candidates")
    at.check_length(member, "/member")
    deadline = at.deadline(time.monotonic(), body.deadline_ms, x_deadline_ms)
    order = Order(member, candidates, body.blend, deadline, body.priority)
    answer, timings = await _answer(request, at, order)
    model = answer.model
    scores = [
        {
            "id": candidate.id,
            "score": value,
            "heads": outcome.probabilities and dict(zip(model.heads, outcome.probabilities, strict=True)),
            "status": outcome.status,
        }
        for candidate, value, outcome in zip(candidates, answer.scores, answer.outcomes, strict=True)
    ]
    named = {"name": model.name, "version": model.version, "policy": model.policy}
    return _respond(at, answer, timings, {"model": named, "scores": scores, "degraded": answer.degraded})


@router.post("/rerank", response_model=schemas.RerankResponse | list[schemas.TeiRank])
@router.post("/v1/rerank", response_model=schemas.RerankResponse | list[schemas.TeiRank], include_in_schema=False)
@router.post("/v2/rerank", response_model=schemas.RerankResponse | list[schemas.TeiRank], include_in_schema=False)
async def rerank(
    request: Request, body: schemas.RerankRequest, at: AtDesk, x_deadline_ms: DeadlineHeader = None
) -> Response:
    """Cohere's and Jina's shape (`documents`) or TEI's (`texts`): the query is the member's text, scores are the default blend."""
    given = body.texts if body.documents is None else body.documents
    texts = [each if isinstance(each, str) else each.text for each in given or ()]
    candidates = [Entry(str(index), text) for index, text in enumerate(texts)]
    at.check_sizes(candidates, "/texts" if body.documents is None else "/documents")
    at.check_length(Entry("", body.query), "/query")
    deadline = at.deadline(time.monotonic(), x_deadline_ms)
    answer, timings = await _answer(request, at, Order(Entry("", body.query), candidates, None, deadline, Priority.default))
    scores = [0.0 if value is None else value for value in answer.scores]
    best = sorted(range(len(texts)), key=lambda index: (-scores[index], index))[: body.top_n]
    if body.documents is None:
        shown = {"text": body.return_text}
        ranks = [{"index": i, "score": scores[i], **({"text": texts[i]} if shown["text"] else {})} for i in best]
        return _respond(at, answer, timings, ranks)
    results = [
        {"index": i, "relevance_score": scores[i], **({"document": {"text": texts[i]}} if body.return_documents else {})}
        for i in best
    ]
    model = f"{answer.model.name}-v{answer.model.version}"
    return _respond(at, answer, timings, {"id": request.state.request_id, "model": model, "results": results})


async def _answer(request: Request, at: Desk, order: Order) -> tuple[Answer, Timings]:
    timings: Timings = request.state.timings
    timings.lap("parse")
    at.charge(request.state.caller.name, len(order.candidates))
    return await _unless_departed(request, at.scoring.score(order, timings)), timings


async def _unless_departed(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; it is cancelled, and Departed raised, when the client hangs up first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Departed
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


def _respond(at: Desk, answer: Answer, timings: Timings, body: object) -> Response:
    raw = orjson.dumps(body)
    timings.lap("answer")
    statuses: list[PairStatus] = [outcome.status for outcome in answer.outcomes]
    at.metrics.scored(statuses, timings.stages)
    return Response(raw, media_type=JSON, headers={"Server-Timing": timings.header()})


@router.put("/candidates", response_model=schemas.PutResponse)
async def put_candidates(body: schemas.PutCandidates, at: AtDesk) -> Response:
    """Insert or replace candidates, all or none; they can then be scored by id alone."""
    entries = [Entry(each.id, each.text if each.fields is None else each.fields) for each in body.candidates]
    at.check_sizes(entries, "/candidates")
    try:
        at.store.put({entry.id: entry.content for entry in entries if entry.content is not None})
    except CandidatesFull:
        raise StoreFull from None
    return Response(orjson.dumps({"upserted": len(entries)}), media_type=JSON)


@router.delete("/candidates/{candidate_id:path}", status_code=204)
async def delete_candidate(candidate_id: str, at: AtDesk) -> Response:
    """Forget a candidate."""
    if not at.store.delete(candidate_id):
        raise NotFound("no candidate has this id")
    return Response(status_code=204)


@router.get("/v1/models", response_model=schemas.ModelsResponse)
async def list_models(at: AtDesk) -> Response:
    """The bundles beside the live one."""
    return Response(orjson.dumps({"models": await at.lifecycle.list_models()}), media_type=JSON)


@router.post("/v1/models/{version}:activate", response_model=schemas.ModelEntry)
async def activate_model(version: str, at: AtDesk) -> Response:
    """Load another version of the live model beside it, verify and warm it, and swap. The old one stays when anything fails."""
    return Response(orjson.dumps(await at.lifecycle.activate(version)), media_type=JSON)


@router.get("/livez", response_model=schemas.Probe)
async def livez(at: AtDesk) -> Response:
    """200 from the first moment; 503 once the model thread is dead."""
    return _probe(at, ok=at.lifecycle.phase not in ("dead", "failed"))


@router.get("/readyz", response_model=schemas.Probe)
async def readyz(at: AtDesk) -> Response:
    """200 while requests should be sent here."""
    return _probe(at, ok=at.lifecycle.phase == "ready")


@router.get("/startupz", response_model=schemas.Probe)
async def startupz(at: AtDesk) -> Response:
    """200 once the model has been loaded."""
    return _probe(at, ok=at.lifecycle.phase in ("ready", "draining"))


def _probe(at: Desk, *, ok: bool) -> Response:
    return Response(orjson.dumps({"phase": at.lifecycle.phase}), 200 if ok else 503, media_type=JSON)


@router.get("/metrics", response_class=Response)
async def metrics(at: AtDesk) -> Response:
    """Prometheus' text format."""
    at.lifecycle.refresh_gauges()
    return Response(at.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
