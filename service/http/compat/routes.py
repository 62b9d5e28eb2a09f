"""The routes of other rerank APIs. All do the same with a shape of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ValidationError

from service import errors
from service.http.answers.places import faults_of
from service.http.answers.serving import answered, scored
from service.http.compat import shapes
from service.http.compat.documents import items_of
from service.http.compat.rerank import about_model, header_of, ranking_of, relocated, request_of, sentences_of
from service.http.compat.schemas import (
    PairScoreRequest,
    PredictRequest,
    RerankingRequest,
    RerankRequest,
    RerankResponse,
    SimilarityRequest,
    TeiRank,
    VllmRerankRequest,
)
from service.http.context import AppContext, RequestContext
from service.http.problems import DEADLINE, NAMES, WITH_BODY, problems
from service.http.strict_json import StrictJsonRoute

Body = TypeVar("Body", bound=BaseModel)
RERANKING = problems(
    errors.UnsupportedMedia, errors.QuotaSpent, errors.NotReady, errors.Overloaded, errors.NotRecorded,
    errors.DeadlinePassed, errors.TooMany, errors.Incomplete, *WITH_BODY,
)  # fmt: skip
ANSWER = RerankResponse | list[TeiRank]
router = APIRouter(route_class=StrictJsonRoute)


@router.post("/rerank", response_model=ANSWER, responses=RERANKING, openapi_extra=DEADLINE)
@router.post("/v2/rerank", response_model=None, include_in_schema=False)
async def rerank(request: Request, body: RerankRequest) -> Response:
    """Rank documents for a query, in the shape of Cohere and Jina (`documents`) or of TEI (`texts`).

    The scores are the model's default blend. Each document is scored, or the answer is 503: a retry after
    `Retry-After` finds the rest encoded. Options that have no effect are named in `meta.warnings`, and texts that are
    cut; TEI's shape has the header X-Fitscore-Warnings instead.
    """
    return await _ranked(request, body, shapes.COHERE_2)


@router.post("/v1/rerank", response_model=None, include_in_schema=False)
async def rerank_v1(request: Request, body: RerankRequest) -> Response:
    return await _ranked(request, body, shapes.COHERE_1)


@router.post("/voyage/v1/rerank", response_model=None, include_in_schema=False)
async def voyage(request: Request, body: RerankRequest) -> Response:
    return await _ranked(request, body, shapes.VOYAGE)


@router.post("/infinity/rerank", response_model=None, include_in_schema=False)
async def infinity(request: Request, body: RerankRequest) -> Response:
    return await _ranked(request, body, shapes.INFINITY)


@router.post("/v1/reranking", response_model=None, include_in_schema=False)
async def mixedbread(request: Request, body: RerankingRequest) -> Response:
    return await _ranked(request, body, shapes.MIXEDBREAD)


@router.post("/vllm/rerank", response_model=None, include_in_schema=False)
@router.post("/vllm/v1/rerank", response_model=None, include_in_schema=False)
@router.post("/vllm/v2/rerank", response_model=None, include_in_schema=False)
async def vllm(request: Request, body: VllmRerankRequest) -> Response:
    return await _ranked(request, body, shapes.VLLM)


@router.post("/v1/score", response_model=None, include_in_schema=False)
@router.post("/vllm/score", response_model=None, include_in_schema=False)
@router.post("/vllm/v1/score", response_model=None, include_in_schema=False)
async def vllm_score(request: Request, body: PairScoreRequest) -> Response:
    return await _ranked(request, body, shapes.VLLM_SCORE)


@router.post("/predict", response_model=None, include_in_schema=False)
async def predict(request: Request, body: PredictRequest) -> Response:
    return await _ranked(request, body, shapes.PREDICT)


@router.post("/", response_model=None, include_in_schema=False)
async def similarity(request: Request, body: SimilarityRequest) -> Response:
    return await _ranked(request, body, shapes.SIMILARITY)


@router.get("/info", response_model=None, include_in_schema=False)
async def info(request: Request) -> Mapping[str, object]:
    """TEI's description of its model, which clients read before they call."""
    app: AppContext = request.app.state.context
    model = app.products.default.models.current.live
    if model is None:
        raise errors.NotReady("no model is loaded yet", retry_after_s=1.0)
    return {
        "model_id": f"{model.name}-v{model.version}",
        "model_sha": None,
        "model_dtype": model.precision,
        "model_type": {"reranker": {"id2label": {"0": shapes.LABEL}, "label2id": {shapes.LABEL: 0}}},
        "max_input_length": model.encoder.longest_pair,
        "max_client_batch_size": app.limits.max_candidates,
        "auto_truncate": True,
        "version": "1",
    }


@router.get("/health", response_model=None, include_in_schema=False)
async def health(request: Request) -> Response:
    """200 without a body while the service accepts requests, as TEI, vLLM and Infinity answer."""
    ready = request.app.state.context.lifecycle.phase == "ready"
    return Response(status_code=200 if ready else 503)


async def _ranked(request: Request, body: Body, shape: shapes.Shape[Body]) -> Response:
    """Score the documents of a request, and answer in its shape."""
    app: AppContext = request.app.state.context
    context: RequestContext = request.state.context
    common = _common(body, shape)
    try:
        candidates = items_of(common)
        app.limits.check(candidates, "/candidates")
        deadline = app.limits.deadline(context.arrived, common.deadline_ms, context.deadline_ms)
        product = app.products.named_or_default(common.model)
        asked = request_of(common, candidates, deadline)
        result, warnings = await scored(asked, request.receive, product, app, context)
    except errors.Invalid as error:
        raise relocated(error, shape.places(body)) from None
    sentences = sentences_of(common, result, warnings)
    if len(app.products.names) > 1:
        sentences += about_model(common.model, result)
    ranking = ranking_of(common, result, sentences, context.id)
    answer = shape.answer(ranking, body)
    response = answered(answer, result, warnings, context, app)
    if not isinstance(answer, dict) or "meta" not in answer:  # it has no place for warnings
        response.headers.update(header_of(sentences))
    return response


def _common(body: Body, shape: shapes.Shape[Body]) -> RerankRequest:
    """The common request. Raises Invalid for a common option that the shape itself does not have."""
    try:
        return shape.ask(body)
    except ValidationError as error:
        found: list[dict[str, Any]] = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise errors.Invalid(errors=faults_of(found, body.model_dump(), NAMES)) from None
