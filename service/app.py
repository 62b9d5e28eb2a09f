"""create_app: every part made once and wired in one visible place; errors to status codes."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from service.admission import Admission, NoCapacity, Quotas
from service.candidates import CandidateStore, TokenCache
from service.cost import CostTable
from service.desk import Desk
from service.door import Door, Limits
from service.engine import Engine
from service.errors import (
    KINDS,
    FieldError,
    Internal,
    Invalid,
    Overloaded,
    ServiceError,
    problem,
)
from service.keys import Keys
from service.lifecycle import Lifecycle, Load
from service.metrics import Metrics
from service.models import load_model
from service.openapi import Api
from service.queue import PairQueue
from service.rehearsal import rehearse
from service.routes import router
from service.scoring import Scoring
from service.settings import Settings
from service.texts import Texts
from service.work import Priority

log = logging.getLogger("fitscore")
# Stands in until warm-up has measured the real one; nothing is scored before that.
UNKNOWN_COST = CostTable((1,), (1,), ((0.001,),))


def create_app(
    settings: Settings, *, load: Load | None = None, on_failure: Callable[[str], None] | None = None
) -> Door:
    """The whole service as an ASGI app. `load` and `on_failure` are for tests and for `__main__`."""
    metrics = Metrics()
    store, cache = CandidateStore(settings.store_bytes), TokenCache(settings.token_cache_bytes)
    queue = PairQueue(
        UNKNOWN_COST,
        max_batch_tokens=settings.max_batch_tokens,
        max_batch_s=settings.max_batch_ms / 1000,
        patience_s=settings.patience_ms / 1000,
    )
    engine = Engine(queue, observer=metrics, hang_s=settings.hang_s)
    admission = Admission(max_backlog_s=settings.max_backlog_s)
    scoring = Scoring(engine, admission, Texts(store, cache))
    lifecycle = Lifecycle(
        bundle=settings.bundle,
        load=load or _loader(settings),
        engine=engine,
        queue=queue,
        scoring=scoring,
        metrics=metrics,
        store=store,
        cache=cache,
        on_failure=on_failure or log.error,
    )
    desk = Desk(
        scoring=scoring,
        store=store,
        lifecycle=lifecycle,
        metrics=metrics,
        quotas=_quotas(settings),
        max_candidates=settings.max_candidates,
        max_text_chars=settings.max_text_chars,
        default_deadline_s=settings.default_deadline_ms / 1000,
    )
    return Door(
        _api(desk),
        desk=desk,
        limits=Limits(settings.max_body_bytes, settings.max_header_bytes, settings.max_headers),
        keys=Keys(settings.api_keys),
        refuse_early=functools.partial(_refuse_early, scoring, admission, settings.default_deadline_ms),
    )


def _loader(settings: Settings) -> Load:
    return functools.partial(
        load_model,
        device=settings.device,
        threads=settings.threads,
        max_batch_tokens=settings.max_batch_tokens,
        max_batch_s=settings.max_batch_ms / 1000,
    )


def _quotas(settings: Settings) -> Quotas | None:
    if settings.quota_pairs_per_s == 0:
        return None
    return Quotas(pairs_per_s=settings.quota_pairs_per_s, burst=settings.quota_burst)


def _refuse_early(
    scoring: Scoring, admission: Admission, default_deadline_ms: int, route: str, headers: dict[bytes, bytes]
) -> None:
    """Refuse a scoring request whose body need not be read: what waits takes longer than it has."""
    if route not in ("/score", "/rerank"):
        return
    stated = headers.get(b"x-deadline-ms", b"")
    deadline_ms = int(stated) if stated.isdigit() and len(stated) < 8 else default_deadline_ms
    try:
        admission.admit(
            now=0.0,
            deadline=max(1, deadline_ms) / 1000,
            priority=Priority.critical,
            backlog_s=scoring.backlog_seconds(),
            cost_s=0.0,
        )
    except NoCapacity as refusal:
        raise Overloaded(retry_after_s=refusal.retry_after_s) from None


def _api(desk: Desk) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await rehearse(app)
        await desk.lifecycle.start()
        yield
        await desk.lifecycle.stop()

    app = Api(
        title="Fitscore",
        summary="Scores candidate-member pairs for ranking.",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.desk = desk
    app.include_router(router)
    app.add_exception_handler(ServiceError, _tell)
    app.add_exception_handler(RequestValidationError, _tell_invalid)
    app.add_exception_handler(HTTPException, _tell_http)
    app.add_exception_handler(Exception, _tell_internal)
    return app


def _request_id(request: Request) -> str:
    found: str = request.state.visit.id
    return found


async def _tell(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return problem(error, _request_id(request))


async def _tell_internal(request: Request, _: Exception) -> Response:
    return problem(Internal(), _request_id(request))


async def _tell_http(request: Request, error: Exception) -> Response:
    """Starlette's own refusals (no such route or method), in our form."""
    assert isinstance(error, HTTPException)
    kind = next((kind for kind in KINDS if kind.status == error.status_code), None)
    told = kind() if kind else Internal(HTTPStatus(error.status_code).phrase)
    response = problem(told, _request_id(request))
    response.headers.update(error.headers or {})
    return response


async def _tell_invalid(request: Request, error: Exception) -> Response:
    """Name each field at fault, and never what stood in it."""
    assert isinstance(error, RequestValidationError)
    faults = {(pointer(each["loc"]), plain(each)): None for each in error.errors()}
    return problem(Invalid(errors=[FieldError(*fault) for fault in list(faults)[:20]]), _request_id(request))


def pointer(location: tuple[object, ...]) -> str:
    """A JSON pointer into the body, or "header: name". Names that the caller chose are cut and made plain."""
    first, *rest = location
    parts = [str(part) if isinstance(part, int) else _plain_name(str(part)) for part in rest]
    if first != "body":
        return f"{first}: {'/'.join(parts)}"
    return "".join(f"/{part}" for part in parts)


def _plain_name(name: str) -> str:
    return "".join(
        letter if (letter.isascii() and letter.isalnum()) or letter in "_-." else "?" for letter in name[:40]
    )


def plain(error: Mapping[str, object]) -> str:
    """What is wrong, in words that cannot hold a value of the body."""
    kind = str(error["type"])
    if kind == "value_error":  # raised by our own validators, whose sentences are fixed
        return str(error["msg"]).removeprefix("Value error, ")
    return str(error["msg"]) if kind in _FIXED else f"not usable here ({kind})"


# Kinds whose sentence is made of the schema alone.
_FIXED = frozenset(
    "missing extra_forbidden enum string_type string_too_short string_too_long int_type float_type bool_type list_type"
    " dict_type model_type model_attributes_type too_short too_long greater_than_equal less_than_equal".split()
)
