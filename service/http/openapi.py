"""What /openapi.json says of errors: every route names its own, as application/problem+json."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from service.errors import KINDS
from service.http.schemas import Problem

PROBLEM_JSON = "application/problem+json"


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that may answer with these codes."""
    titles = {kind.status: kind.title for kind in KINDS}
    return {code: {"model": Problem, "description": titles[code]} for code in sorted(codes)}


class Api(FastAPI):
    """FastAPI, but its document gives problems the media type that they have on the wire."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            for operations in super().openapi()["paths"].values():
                for operation in operations.values():
                    _retype(operation["responses"])
        assert self.openapi_schema is not None
        return self.openapi_schema


def _retype(responses: dict[str, Any]) -> None:
    for response in responses.values():
        content = response.get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        if schema.get("$ref", "").endswith("/Problem"):
            content[PROBLEM_JSON] = content.pop("application/json")
