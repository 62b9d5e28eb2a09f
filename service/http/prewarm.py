"""One made-up request through the app before the first real one: frameworks build much of themselves on first use.

Without it, the first request of a process took 40 to 100 ms longer than the second.
"""

from __future__ import annotations

import asyncio

import orjson
from starlette.types import ASGIApp, Message, Scope

from service.http.context import RequestContext
from service.http.guard import ANONYMOUS
from service.http.schemas import EXAMPLE


async def prewarm(app: ASGIApp) -> None:
    """Send POST /score through the app, up to the model, which is not loaded yet; drop the response."""

    async def receive() -> Message:
        await asyncio.Event().wait()  # the client never disconnects
        raise AssertionError

    async def send(_: Message) -> None:
        pass

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "POST",
        "path": "/score",
        "raw_path": b"/score",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "state": {"context": RequestContext("prewarm", ANONYMOUS, body=orjson.dumps(EXAMPLE))},
    }
    await app(scope, receive, send)
