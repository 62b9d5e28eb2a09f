"""Voyage's own client."""

from __future__ import annotations

import asyncio

import voyageai

from tests.matrix.asking import KEY, Ask, Client, Found, found


def blocking(ask: Ask) -> Found:
    client = voyageai.Client(api_key=KEY, base_url=f"{ask.url}/voyage/v1", max_retries=1)
    answer = client.rerank(ask.query, list(ask.documents), model="rerank-2", top_k=ask.top_n)
    assert [each.document for each in answer.results] == [ask.documents[each.index] for each in answer.results]
    return found(((each.index, each.relevance_score) for each in answer.results), answer.total_tokens)


def awaited(ask: Ask) -> Found:
    client = voyageai.AsyncClient(api_key=KEY, base_url=f"{ask.url}/voyage/v1", max_retries=1)
    answer = asyncio.run(client.rerank(ask.query, list(ask.documents), model="rerank-2", top_k=ask.top_n))
    return found(((each.index, each.relevance_score) for each in answer.results), answer.total_tokens)


BASE, ROUTE = "base_url=URL/voyage/v1", "/voyage/v1/rerank"
CLIENTS = (
    Client("voyageai", "Client", BASE, ROUTE, blocking, tokens=True),
    Client("voyageai", "AsyncClient", BASE, ROUTE, awaited, tokens=True),
)
