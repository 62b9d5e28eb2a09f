"""Bytes -> values, for JSON that every reader understands alike (I-JSON, RFC 7493), and of limited depth.

orjson rejects NaN, Infinity, numbers beyond a double, lone surrogates and invalid UTF-8. This file also rejects a
name that occurs twice in one object, because readers differ in which value counts.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Coroutine
from itertools import chain
from typing import Any

import numpy as np
import orjson
from fastapi import Request, Response
from fastapi._compat import ModelField
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from service.errors import NotJson

# The contract needs five levels. Fields of other dialects may be deeper; they are ignored, or echoed at most.
MAX_DEPTH = 32
_CONTAINERS = frozenset({dict, list})
_BOM = b"\xef\xbb\xbf"
_SPACE = b" \n\t\r"
_SPACED = re.compile(rb'"[ \t\n\r]+:')


def read_json(raw: bytes) -> object:
    """The value. Raises NotJson, whose detail never repeats a part of it."""
    if raw.startswith(_BOM):  # RFC 8259, 8.1: a reader may ignore it
        raw = raw[len(_BOM) :]
    try:
        value: object = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise NotJson("the body is not valid JSON in UTF-8") from None
    if _count_names(value) != _most_names(raw):
        _refuse_repeated_names(raw)
    return value


def _count_names(value: object) -> int:
    """Names in all objects of a value. Raises NotJson if it is nested too deeply."""
    num_names = 0
    level: list[Any] = [value] if type(value) in _CONTAINERS else []
    for _ in range(MAX_DEPTH):
        num_names += sum(len(each) for each in level if type(each) is dict)
        children = chain.from_iterable(each.values() if type(each) is dict else each for each in level)
        inner = [child for child in children if type(child) in _CONTAINERS]
        if not inner:
            return num_names
        level = inner
    raise NotJson(f"nested deeper than {MAX_DEPTH} levels")


def _most_names(raw: bytes) -> int:
    """Names that were sent at most: colons after a quote, with or without white space between them.

    Every colon after a name is one of these. A text may contain more of them, so a larger number proves nothing; but
    if it is the number of names that were read, none was dropped as a duplicate.
    """
    array = np.frombuffer(raw, np.uint8)
    before_colons = array[:-1][array[1:] == ord(":")].tobytes()
    num_names: int = before_colons.count(b'"')
    if len(before_colons.translate(None, _SPACE)) < len(before_colons):
        num_names += len(_SPACED.findall(raw))
    return num_names


def _refuse_repeated_names(raw: bytes) -> None:
    """Raise NotJson if a name is repeated. Exact and slow: it parses once more, in Python."""

    def check(pairs: list[tuple[str, object]]) -> None:
        if len({name for name, _ in pairs}) < len(pairs):
            raise NotJson("a name occurs twice in one object")

    json.loads(raw, object_pairs_hook=check)


class _StrictJsonRequest(Request):
    """A request whose body the guard has read."""

    async def body(self) -> bytes:
        raw: bytes = self.scope["state"]["context"].body
        return raw

    async def json(self) -> object:
        return read_json(self.scope["state"]["context"].body)


class StrictJsonRoute(APIRoute):
    """A route whose body is read by `read_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler, with the strict request; a short one for a function of the request and its body."""
        body = self.body_field
        if body is not None and set(inspect.signature(self.endpoint).parameters) == {"request", "body"}:
            return self._of_request_and_body(body)
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictJsonRequest(request.scope, request.receive))

        return handle_strictly

    def _of_request_and_body(self, body: ModelField) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What FastAPI does for it, without looking for dependencies in each request."""

        async def handle(request: Request) -> Response:
            given = read_json(request.scope["state"]["context"].body)
            value, faults = body.validate(given, {}, loc=("body",))
            if faults:
                raise RequestValidationError(faults, body=given)
            response: Response = await self.endpoint(request=request, body=value)
            return response

        return handle
