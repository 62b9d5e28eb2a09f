"""Errors -> RFC 9457 problem details, in responses and in OpenAPI. A problem names fields, never values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from service import errors
from service.errors import Incomplete, Internal, Invalid, MethodNotAllowed, NotFound, Overloaded, ServiceError
from service.http.answers.places import faults_of
from service.http.compat.schemas import (
    Document,
    PairScoreRequest,
    PredictRequest,
    RerankingRequest,
    RerankRequest,
    Sentences,
    SimilarityRequest,
)
from service.http.context import NotedResponse, ResponseNote
from service.http.schemas import (
    MAX_DEADLINE_MS,
    Candidate,
    Member,
    Problem,
    PutCandidates,
    ScoreRequest,
    Share,
    StoredCandidate,
)
from service.registry.loading import LiveModel

PROBLEM_JSON = "application/problem+json"
DEADLINE_HEADER = "X-Deadline-Ms"


def problem(error: ServiceError, request_id: str) -> NotedResponse:
    """The response for an error. `Retry-After` is in whole seconds, at least 1."""
    body: dict[str, object] = {
        "type": f"urn:fitscore:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "request_id": request_id,
    }
    if error.errors:
        body["errors"] = [{each.kind: each.place, "detail": each.detail} for each in error.errors]
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    response = NotedResponse(orjson.dumps(body), error.status, headers, media_type=PROBLEM_JSON)
    if isinstance(error, Incomplete):
        response.note = ResponseNote(partial=True)
    if isinstance(error, Overloaded):
        response.note = ResponseNote(overloaded=True, allowed_s=error.allowed_s)
    return response


# Exception handlers of the FastAPI app.


def add_handlers(app: FastAPI) -> None:
    for kind in (ServiceError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _render)


async def _render(request: Request, error: Exception) -> Response:
    request_id: str = request.state.context.id
    if isinstance(error, HTTPException) and isinstance(error.__cause__, ServiceError):
        error = error.__cause__  # ours, raised while FastAPI read the body
    if isinstance(error, ServiceError):
        return problem(error, request_id)
    if isinstance(error, RequestValidationError):
        return problem(_invalid(error, request.app.state.context.products.default.models.current.live), request_id)
    if not isinstance(error, HTTPException):
        return problem(Internal(), request_id)
    # Starlette's own errors, such as an unknown route or method.
    kind = {404: NotFound, 405: MethodNotAllowed}.get(error.status_code)
    response = problem(kind() if kind else Internal(HTTPStatus(error.status_code).phrase), request_id)
    response.headers.update(error.headers or {})
    return response


# Validation errors of pydantic.


# Names of the contract, which a problem may repeat beside those of the model's template and heads.
NAMES = frozenset(
    name
    for contract in (
        ScoreRequest,
        Member,
        Candidate,
        PutCandidates,
        StoredCandidate,
        Share,
        RerankRequest,
        Document,
        RerankingRequest,
        PairScoreRequest,
        PredictRequest,
        SimilarityRequest,
        Sentences,
    )
    for name in contract.model_fields
)


def _invalid(error: RequestValidationError, live: LiveModel | None) -> Invalid:
    """Pydantic's errors as one problem."""
    names = NAMES
    if live is not None:
        template = live.template
        names = names.union(template.member_names, template.candidate_names, live.heads, live.features.names)
    return Invalid(errors=faults_of(error.errors(), error.body, names))


# OpenAPI.


def problems(*kinds: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that can end with these errors; several may share a status."""
    titles: dict[int, list[str]] = {}
    for kind in kinds:
        titles.setdefault(kind.status, []).append(f"{kind.title} (`{kind.code}`)")
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": "; ".join(titles[status]), "content": content} for status in sorted(titles)}


# The group of each operation in the document, by the start of its path.
TAGS = {
    "/score": "scoring",
    "/rerank": "scoring",
    "/candidates": "candidates",
    "/v1/models": "models",
    "/livez": "operations",
    "/readyz": "operations",
    "/startupz": "operations",
    "/metrics": "operations",
}
ANOTHER_API = "other APIs"
KEYS = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, where the service has keys. Its scopes are `score`, `candidates` and `admin`.",
    }
}


def _group(path: str) -> str:
    return next((tag for start, tag in TAGS.items() if path.startswith(start)), ANOTHER_API)


# The errors of every operation that the guard protects, and of those with a body.
GUARDED = (
    errors.BadRequest, errors.Unauthorized, errors.Forbidden, errors.TooSlow, errors.TooLarge, errors.Misdirected,
    errors.HeadersTooLarge, errors.Internal, errors.Crowded,
)  # fmt: skip
WITH_BODY = (errors.NotJson, errors.Invalid, *GUARDED)
# The guard reads the header; the routes only document it.
DEADLINE: dict[str, Any] = {
    "parameters": [
        {
            "name": DEADLINE_HEADER,
            "in": "header",
            "required": False,
            "description": "Deadline in milliseconds from arrival. If the body has one too, the earlier one counts.",
            "schema": {"type": "integer", "minimum": 1, "maximum": MAX_DEADLINE_MS},
        }
    ]
}


class Api(FastAPI):
    """FastAPI with problems, groups and keys in its document, and without its own schema of validation errors."""

    @cached_property
    def _methods(self) -> tuple[dict[str, tuple[str, ...]], list[Route]]:
        """The methods of each path, and the routes whose path has parameters."""
        routes = [route for route in self.routes if isinstance(route, Route)]
        fixed = {route.path: _methods_of(each for each in routes if each.path == route.path) for route in routes}
        return fixed, [route for route in routes if route.param_convertors]

    def methods(self, path: str) -> Sequence[str]:
        """The methods that a path supports, in the order of the alphabet; none for an unknown path."""
        fixed, patterns = self._methods
        return fixed.get(path) or _methods_of(route for route in patterns if route.path_regex.match(path))

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            named = document["components"]["schemas"]
            named["Problem"] = Problem.model_json_schema()
            for unused in ("HTTPValidationError", "ValidationError"):
                named.pop(unused, None)
            document["components"]["securitySchemes"] = KEYS
            for path, operations in document["paths"].items():
                for operation in operations.values():
                    operation["tags"] = [_group(path)]
                    if _group(path) != "operations":
                        operation["security"] = [{"key": []}, {}]  # the second: without keys, none is needed
                    if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                        del operation["responses"]["422"]
        assert self.openapi_schema is not None
        return self.openapi_schema


def _methods_of(routes: Iterable[Route]) -> tuple[str, ...]:
    """All methods of these routes. One with GET supports HEAD as well (RFC 9110, section 9.1)."""
    found = {method for route in routes for method in route.methods or ()}
    return tuple(sorted(found | ({"HEAD"} if "GET" in found else set())))
