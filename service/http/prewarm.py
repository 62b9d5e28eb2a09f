"""One made-up request through the app before anyone calls: frameworks build much of themselves on first use.

Cold, the first request of a process took 40 to 100 ms longer than the second.
"""

from __future__ import annotations

import asyncio

import orjson
from starlette.types import ASGIApp, Message, Scope

from service.http.guard import RequestContext
from service.http.schemas import EXAMPLE


async def prewarm(app: ASGIApp) -> None:
    """Walk POST /score up to the model, which is not there yet; the answer, a refusal, is dropped."""
    unread = [orjson.dumps(EXAMPLE)]

    async def receive() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        await asyncio.Event().wait()  # nobody hangs up
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
        "state": {"visit": RequestContext("rehearsal", "/score")},
    }
    await app(scope, receive, send)
