"""Errors -> RFC 9457 problem details, in responses and in OpenAPI. A problem names fields, never values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from service.errors import FieldError, Internal, Invalid, MethodNotAllowed, NotFound, Overloaded, ServiceError
from service.http.compat.schemas import Document, RerankRequest
from service.http.context import NotedResponse, ResponseNote
from service.http.schemas import Candidate, Member, Problem, PutCandidates, ScoreRequest, StoredCandidate

PROBLEM_JSON = "application/problem+json"
DEADLINE_HEADER = "X-Deadline-Ms"
MAX_FIELD_ERRORS = 20


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
        body["errors"] = [{"pointer": each.pointer, "detail": each.detail} for each in error.errors]
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    response = NotedResponse(orjson.dumps(body), error.status, headers, media_type=PROBLEM_JSON)
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
        return problem(invalid(error.errors()), request_id)
    if not isinstance(error, HTTPException):
        return problem(Internal(), request_id)
    # Starlette's own errors, such as an unknown route or method.
    kind = {404: NotFound, 405: MethodNotAllowed}.get(error.status_code)
    response = problem(kind() if kind else Internal(HTTPStatus(error.status_code).phrase), request_id)
    response.headers.update(error.headers or {})
    return response


# Validation errors of pydantic.


def invalid(found: Iterable[Mapping[str, Any]]) -> Invalid:
    """Pydantic's errors as one problem: without duplicates, and at most MAX_FIELD_ERRORS of them."""
    faults = {(pointer(each["loc"]), plain(each)): None for each in found}
    return Invalid(errors=[FieldError(*fault) for fault in list(faults)[:MAX_FIELD_ERRORS]])


# Names of the contract: fields, a header, and the members of a union that pydantic tried.
NAMES = frozenset(
    name
    for contract in (ScoreRequest, Member, Candidate, RerankRequest, Document, PutCandidates, StoredCandidate)
    for name in contract.model_fields
) | {DEADLINE_HEADER, "str", "int", "float", "list[str]", "Document"}


def pointer(location: tuple[object, ...]) -> str:
    """A JSON pointer into the body, or "header: name". Names chosen by the caller may be texts: they become "?"."""
    first, *rest = location
    parts = [str(part) if isinstance(part, int) or part in NAMES else "?" for part in rest]
    if first != "body":
        return f"{first}: {'/'.join(parts)}"
    return "".join(f"/{part}" for part in parts)


def plain(error: Mapping[str, object]) -> str:
    """What is wrong, in words that cannot contain a value of the body."""
    kind = str(error["type"])
    if kind == "value_error":  # raised by our own validators, whose sentences are fixed
        return str(error["msg"]).removeprefix("Value error, ")
    return str(error["msg"]) if kind in _FIXED else f"not valid here ({kind})"


# Error types whose message contains nothing but the schema's own words.
_FIXED = frozenset(
    "missing extra_forbidden enum string_type string_too_short string_too_long int_type float_type bool_type list_type"
    " dict_type model_type model_attributes_type too_short too_long greater_than_equal less_than_equal".split()
)


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
