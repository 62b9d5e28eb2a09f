"""Cohere's own SDK for Python, of any major version."""

from __future__ import annotations

import asyncio
from typing import Any

import cohere

from tests.matrix.asking import KEY, Ask, Client, Found, found


def _found(answer: Any) -> Found:
    assert answer.meta.billed_units.search_units == 1
    return found((each.index, each.relevance_score) for each in answer.results)


def second(ask: Ask) -> Found:
    client = cohere.ClientV2(KEY, base_url=ask.url)
    return _found(client.rerank(model="any", query=ask.query, documents=list(ask.documents), top_n=ask.top_n))


def second_with_options(ask: Ask) -> Found:
    client = cohere.ClientV2(KEY, base_url=ask.url)
    options = {"top_n": ask.top_n, "max_tokens_per_doc": 4096, "priority": 0}
    answer = client.rerank(model="any", query=ask.query, documents=list(ask.documents), **options)
    assert answer.meta.api_version.version == "2"
    assert bool(answer.meta.warnings) == any(not text.strip() for text in ask.documents)
    return _found(answer)


def second_async(ask: Ask) -> Found:
    async def call() -> Any:
        client = cohere.AsyncClientV2(KEY, base_url=ask.url)
        return await client.rerank(model="any", query=ask.query, documents=list(ask.documents), top_n=ask.top_n)

    return _found(asyncio.run(call()))


def first(ask: Ask) -> Found:
    client = cohere.Client(KEY, base_url=ask.url)
    answer = client.rerank(query=ask.query, documents=list(ask.documents), top_n=ask.top_n, return_documents=True)
    assert [each.document.text for each in answer.results] == [ask.documents[each.index] for each in answer.results]
    assert answer.meta.api_version.version == "1"
    return _found(answer)


def first_with_objects(ask: Ask) -> Found:
    client = cohere.Client(KEY, base_url=ask.url)
    documents = [{"text": text, "id": str(index)} for index, text in enumerate(ask.documents)]
    return _found(client.rerank(query=ask.query, documents=documents, top_n=ask.top_n, rank_fields=["text"]))


BASE = "base_url=URL"
CLIENTS = (
    Client("cohere", "ClientV2", BASE, "/v2/rerank", second, waits=True),
    Client("cohere", "ClientV2 with all options", BASE, "/v2/rerank", second_with_options, waits=True),
    Client("cohere", "AsyncClientV2", BASE, "/v2/rerank", second_async, waits=True),
    Client("cohere", "Client", BASE, "/v1/rerank", first, waits=True),
    Client("cohere", "Client with objects", BASE, "/v1/rerank", first_with_objects, waits=True),
)
