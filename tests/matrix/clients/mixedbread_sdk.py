"""Mixedbread's own client."""

from __future__ import annotations

import asyncio
from typing import Any

from mixedbread import AsyncMixedbread, Mixedbread

from tests.matrix.asking import KEY, Ask, Client, Found, found


def _found(answer: Any, ask: Ask) -> Found:
    assert [each.input for each in answer.data] == [ask.documents[each.index] for each in answer.data]
    return found(((each.index, each.score) for each in answer.data), answer.usage.total_tokens)


def blocking(ask: Ask) -> Found:
    client = Mixedbread(api_key=KEY, base_url=ask.url)
    asked = {"query": ask.query, "input": list(ask.documents), "top_k": ask.top_n, "return_input": True}
    return _found(client.rerank(model="any", **asked), ask)


def awaited(ask: Ask) -> Found:
    client = AsyncMixedbread(api_key=KEY, base_url=ask.url)
    asked = {"query": ask.query, "input": list(ask.documents), "top_k": ask.top_n, "return_input": True}
    return _found(asyncio.run(client.rerank(model="any", **asked)), ask)


CLIENTS = (
    Client("mixedbread", "Mixedbread", "base_url=URL", "/v1/reranking", blocking, tokens=True, waits=True),
    Client("mixedbread", "AsyncMixedbread", "base_url=URL", "/v1/reranking", awaited, tokens=True, waits=True),
)
