"""The HTTP routes: wire shapes in, wire shapes out.

Scoring itself is behind `AppContext.score`; models, rollouts and the process are behind `lifecycle`.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request, Response
from pydantic import WithJsonSchema

from models.bundle.manifest import Manifest
from models.template import Content
from service import errors
from service.http import schemas
from service.http.answers.score import score_answer
from service.http.answers.serving import answered, scored
from service.http.context import AppContext, RequestContext
from service.http.problems import DEADLINE, GUARDED, WITH_BODY, problems
from service.http.strict_json import StrictJsonRoute
from service.products.filling import FillProgress
from service.products.product import Product
from service.registry.loading import LiveModel
from service.request import Item, ScoringRequest
from service.store.interface import Featured, Stored

SCORING = problems(
    errors.NotFound, errors.UnsupportedMedia, errors.QuotaSpent, errors.NotReady, errors.Overloaded, errors.NotRecorded,
    errors.DeadlinePassed, *WITH_BODY,
)  # fmt: skip
ROLLING_OUT = problems(errors.NotFound, errors.Conflict, *WITH_BODY)
NOT_YET: dict[int | str, dict[str, Any]] = {503: {"model": schemas.Probe, "description": "Not yet, or no longer"}}
router = APIRouter(route_class=StrictJsonRoute)


async def _app_context(request: Request) -> AppContext:  # async, because FastAPI runs other functions in a thread
    context: AppContext = request.app.state.context
    return context


Context = Annotated[AppContext, Depends(_app_context)]
Name = Annotated[str | None, WithJsonSchema({"type": "string"})]
"""A bundle's name where the path has one. A path is never null, so neither is this in the contract."""


@router.post("/score", response_model=schemas.ScoreResponse, responses=SCORING, openapi_extra=DEADLINE)
async def score(request: Request, body: schemas.ScoreRequest) -> Response:
    """Score candidates for one member. The scores are in the order of the candidates."""
    app: AppContext = request.app.state.context
    context: RequestContext = request.state.context
    product = app.products.default if body.model is None else app.products.named(body.model)
    about_member = _member_content(body.member)
    contents = [_content(each, place) for place, each in enumerate(body.candidates)]
    whole = zip(body.candidates, contents, strict=True)
    candidates = [Item(each.id, content, each.features) for each, content in whole]
    member = Item(body.member.id or "", about_member)
    app.limits.check(candidates, "/candidates")
    deadline = app.limits.deadline(context.arrived, body.deadline_ms, context.deadline_ms)
    scoring_request = ScoringRequest(
        member,
        candidates,
        body.blend,
        deadline,
        body.priority,
        strict=body.strict,
        heads=body.heads,
        explain=body.explain,
    )
    result, warnings = await scored(scoring_request, request.receive, product, app, context)
    return answered(score_answer(scoring_request, result, warnings), result, warnings, context, app)


def _member_content(member: schemas.Member) -> Content | None:
    if (member.fields is None) == (member.text is None):
        raise errors.Invalid(errors=[errors.FieldError("/member", "give exactly one of fields and text")])
    return member.text if member.fields is None else member.fields


def _content(candidate: schemas.Candidate, place: int) -> Content | None:
    """The fields or the text. A text that is none becomes a field, whose value is then refused for this one alone."""
    if candidate.fields is None:
        text = candidate.text
        return text if text is None or isinstance(text, str) else {"text": [text]}
    if candidate.text is not None:
        fault = errors.FieldError(f"/candidates/{place}", "has fields and a text; give one of them")
        raise errors.Invalid(errors=[fault])
    return candidate.fields


@router.put(
    "/candidates",
    responses=problems(
        errors.NotFound,
        errors.UnsupportedMedia,
        errors.Overloaded,
        errors.StoreUnavailable,
        errors.StoreFull,
        *WITH_BODY,
    ),
)
async def put_candidates(body: schemas.PutCandidates, app: Context) -> schemas.PutResponse:
    """Insert or replace candidates, all or none. Then requests can score them by id, until `ttl_s` has passed.

    A split model encodes them in the background. 503 if more candidates would wait for that than the queue holds:
    send at most `room` candidates at once, and follow `waiting`.
    """
    candidates = [
        Item(each.id, each.text if each.fields is None else each.fields, each.features) for each in body.candidates
    ]
    app.limits.check(candidates, "/candidates")
    app.limits.check_lengths(candidates, "/candidates")
    product = app.products.named(body.model)
    product.check_features(candidates)
    background = product.encoding.background
    background.check_room(len(candidates))
    await product.store.put(dict(map(_stored, candidates)), body.ttl_s)
    await background.encode(candidates)
    return schemas.PutResponse(upserted=len(candidates), waiting=background.unfinished, room=background.room)


def _stored(candidate: Item) -> tuple[str, Stored]:
    """The id, and what to keep under it. A feature that is null is as one that is missing."""
    assert candidate.content is not None  # its schema
    features = {name: value for name, value in (candidate.features or {}).items() if value is not None}
    return candidate.id, Featured(
        candidate.content, cast("dict[str, float]", features)
    ) if features else candidate.content


@router.get("/candidates:progress", responses=problems(errors.NotFound, *GUARDED))
async def encoding_progress(app: Context, model: str | None = None) -> schemas.Progress:
    """Progress of the background encoding of stored candidates."""
    background = app.products.named(model).encoding.background
    return schemas.Progress(waiting=background.unfinished, room=background.room)


@router.delete(
    "/candidates/{candidate_id:path}",
    status_code=204,
    responses=problems(errors.NotFound, errors.StoreUnavailable, errors.StoreFull, *GUARDED),
)
async def delete_candidate(candidate_id: str, app: Context, model: str | None = None) -> None:
    """Delete a stored candidate."""
    if not await app.products.named(model).store.delete(candidate_id):
        raise errors.NotFound("no candidate has this id")


@router.get("/v1/models", responses=problems(*GUARDED))
async def list_models(app: Context) -> schemas.ModelsResponse:
    """List the live model of each product, and the valid bundles in its folder. The default product comes first."""
    products = list(app.products)
    entries = [_entry(each, product) for product in products for each in await product.models.versions()]
    faults = {each.name: fault for each in products if (fault := each.models.current.fault)}
    return schemas.ModelsResponse(models=entries, fault=faults.get(app.products.default.name), faults=faults)


def _entry(model: LiveModel | Manifest, product: Product) -> schemas.ModelEntry:
    named, current = (model.name, model.version), product.models.current
    live, rollout, fill = current.live, current.rollout, product.filling.progress
    tried = rollout is not None and (rollout.model.name, rollout.model.version) == named
    is_live = live is not None and (live.name, live.version) == named
    return schemas.ModelEntry(
        name=model.name,
        version=model.version,
        policy=model.policy,
        live=is_live,
        digest=live.digest if live and is_live else None,
        rollout=schemas.Rollout(mode=rollout.mode, share=rollout.share) if rollout and tried else None,
        fill=_fill(fill) if fill is not None and fill.version == model.version else None,
    )


def _fill(progress: FillProgress) -> schemas.FillProgress:
    names = schemas.FillProgress.model_fields
    return schemas.FillProgress.model_validate({name: getattr(progress, name) for name in names})


ACTIVATING: dict[int | str, dict[str, Any]] = {
    202: {"model": schemas.ModelEntry, "description": "The version is being filled"},
    **problems(errors.NotFound, errors.Conflict, *WITH_BODY),
}
ROLLING_BACK = problems(errors.NotFound, errors.Conflict, *GUARDED)


@router.post("/v1/models/{version}:activate", responses=ACTIVATING)
@router.post("/v1/models/{name}/{version}:activate", responses=ACTIVATING)
async def activate_model(
    version: str,
    app: Context,
    response: Response,
    name: Name = None,
    body: schemas.Activation | None = None,
) -> schemas.ModelEntry:
    """Load another version of the live model, verify it, warm it up, and make it live.

    The old version stays live if any step fails. Without a name it is a version of the default product. With `fill` the
    version becomes live once its slots are filled; the same call without it makes it live at once.
    """
    product, fill = app.products.named(name), body.fill if body else None
    model = await product.activate(version, fill)
    response.status_code = 202 if fill else 200
    return _entry(model, product)


@router.post("/v1/models/{version}:shadow", responses=ROLLING_OUT)
@router.post("/v1/models/{name}/{version}:shadow", responses=ROLLING_OUT)
async def shadow_model(version: str, body: schemas.Share, app: Context, name: Name = None) -> schemas.ModelEntry:
    """Score a share of the requests with this version as well, after they were answered, and compare the scores.

    Callers do not see its scores. The rollout stops by itself if the version fails more often, is slower, or scores
    differently than the live model. A share of 0 stops it.
    """
    product = app.products.named(name)
    return _entry(await product.models.roll_out(version, "shadow", body.share), product)


@router.post("/v1/models/{version}:canary", responses=ROLLING_OUT)
@router.post("/v1/models/{name}/{version}:canary", responses=ROLLING_OUT)
async def canary_model(version: str, body: schemas.Share, app: Context, name: Name = None) -> schemas.ModelEntry:
    """Answer a share of the requests with this version. The rollout stops by itself, as a shadow does."""
    product = app.products.named(name)
    return _entry(await product.models.roll_out(version, "canary", body.share), product)


@router.post("/v1/models/{version}:rollback", responses=ROLLING_BACK)
@router.post("/v1/models/{name}/{version}:rollback", responses=ROLLING_BACK)
async def roll_back_model(version: str, app: Context, name: Name = None) -> schemas.ModelEntry:
    """Return from this version, the live one, to the previous one, which is still in memory.

    409 if this version is not live, so a repeated request changes nothing.
    """
    product = app.products.named(name)
    return _entry(await product.roll_back(version), product)


@router.get("/livez", responses=NOT_YET)
async def livez(app: Context, response: Response) -> schemas.Probe:
    """Liveness: 200 from the start of the process, 503 once the model thread has died."""
    return _probe(app, response, ok=app.lifecycle.phase not in ("dead", "failed"))


@router.get("/readyz", responses=NOT_YET)
async def readyz(app: Context, response: Response) -> schemas.Probe:
    """Readiness: 200 while the service accepts requests."""
    return _probe(app, response, ok=app.lifecycle.phase == "ready")


@router.get("/startupz", responses=NOT_YET)
async def startupz(app: Context, response: Response) -> schemas.Probe:
    """Start-up: 200 once a model has been loaded."""
    return _probe(app, response, ok=app.lifecycle.loaded)


def _probe(app: AppContext, response: Response, *, ok: bool) -> schemas.Probe:
    response.status_code = 200 if ok else 503
    return schemas.Probe(phase=app.lifecycle.phase)


@router.get("/metrics", response_class=Response)
async def metrics(app: Context) -> Response:
    """Metrics in Prometheus' text format."""
    return Response(app.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
