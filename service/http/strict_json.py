"""Bytes -> values, for JSON that every reader understands alike (I-JSON, RFC 7493), and no deeper than is useful.

orjson refuses NaN, Infinity, numbers beyond a double, lone surrogates and what is not UTF-8; here a name that
stands twice in one object is refused as well (readers differ in which value counts), and bottomless nesting.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.errors import NotJson

# The contract needs five levels; what others' dialects carry beside it is passed over, and written back at most.
MAX_DEPTH = 32
_CONTAINERS = (dict, list)


def read_json(raw: bytes) -> object:
    """The value; raises NotJson, whose detail never repeats a part of it."""
    try:
        value: object = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise NotJson from None
    if _deeper_than(value, MAX_DEPTH):
        raise NotJson(f"nested deeper than {MAX_DEPTH} levels")
    if _may_repeat_names(raw, value):
        _refuse_repeated_names(raw)
    return value


def _deeper_than(value: object, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [
            child
            for each in level
            if isinstance(each, _CONTAINERS)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return any(isinstance(each, _CONTAINERS) for each in level)


def _may_repeat_names(raw: bytes, value: object) -> bool:
    r"""Whether reading dropped a name: then fewer quotes are written back than came.

    A quote within a text is written `\"` by both sides, unless it came as `\u0022`; with those nothing is known.
    """
    return b"\\u0022" in raw or orjson.dumps(value).count(b'"') != raw.count(b'"')


def _refuse_repeated_names(raw: bytes) -> None:
    def check(pairs: list[tuple[str, object]]) -> None:
        if len({name for name, _ in pairs}) < len(pairs):
            raise NotJson("a name stands twice in one object")

    json.loads(raw, object_pairs_hook=check)


class _StrictJsonRequest(Request):
    async def json(self) -> object:
        return read_json(await self.body())


class StrictJsonRoute(APIRoute):
    """A route whose body is read by `read_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler, with the strict request."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictJsonRequest(request.scope, request.receive))

        return handle_strictly
