"""The rankers of Haystack."""

from __future__ import annotations

from typing import Any

from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker
from haystack_integrations.components.rankers.jina import JinaRanker

from tests.matrix.asking import KEY, Ask, Client, Found, found


def _found(ranker: Any, ask: Ask) -> Found:
    documents = [Document(id=str(index), content=text) for index, text in enumerate(ask.documents)]
    answer = ranker.run(query=ask.query, documents=documents, top_k=ask.top_n)
    tokens = answer["meta"]["usage"]["total_tokens"] if "meta" in answer else None
    return found(((int(each.id), each.score) for each in answer["documents"]), tokens)


def cohere(ask: Ask) -> Found:
    return _found(CohereRanker(model="any", api_key=Secret.from_token(KEY), api_base_url=ask.url), ask)


def jina(ask: Ask) -> Found:
    return _found(JinaRanker(api_key=Secret.from_token(KEY), base_url=f"{ask.url}/v1/rerank"), ask)


def tei(ask: Ask) -> Found:
    return _found(HuggingFaceTEIRanker(url=ask.url, token=Secret.from_token(KEY)), ask)


CLIENTS = (
    Client("cohere-haystack", "CohereRanker", "api_base_url=URL", "/v2/rerank", cohere, waits=True),
    Client(
        "jina-haystack", "JinaRanker", "base_url=URL/v1/rerank", "/v1/rerank", jina, tokens=True, reason="/query has"
    ),
    Client("huggingface-api-haystack", "HuggingFaceTEIRanker", "url=URL", "/rerank", tei, waits=True),
)
