"""The rerankers of LangChain."""

from __future__ import annotations

from unittest.mock import patch

from infinity_client.client import Client as InfinityClient
from langchain_cohere import CohereRerank
from langchain_community.document_compressors import jina_rerank
from langchain_community.document_compressors.infinity_rerank import InfinityRerank
from langchain_core.documents import Document

from tests.matrix.asking import KEY, Ask, Client, Found, found


def _documents(ask: Ask) -> list[Document]:
    return [Document(text, metadata={"index": index}) for index, text in enumerate(ask.documents)]


def cohere(ask: Ask) -> Found:
    reranker = CohereRerank(model="any", cohere_api_key=KEY, base_url=ask.url, top_n=ask.top_n)
    kept = reranker.compress_documents(_documents(ask), ask.query)
    return found((each.metadata["index"], each.metadata["relevance_score"]) for each in kept)


def jina(ask: Ask) -> Found:
    with patch.object(jina_rerank, "JINA_API_URL", f"{ask.url}/v1/rerank"):
        reranker = jina_rerank.JinaRerank(jina_api_key=KEY, top_n=ask.top_n)
        kept = reranker.compress_documents(_documents(ask), ask.query)
    return found((each.metadata["index"], each.metadata["relevance_score"]) for each in kept)


def infinity(ask: Ask) -> Found:
    client = InfinityClient(base_url=f"{ask.url}/infinity", headers={"Authorization": f"Bearer {KEY}"})
    kept = InfinityRerank(client=client, model="any", top_n=ask.top_n).compress_documents(_documents(ask), ask.query)
    return found((each.metadata["index"], each.metadata["relevance_score"]) for each in kept)


CLIENTS = (
    Client("langchain-cohere", "CohereRerank", "base_url=URL", "/v2/rerank", cohere, waits=True),
    Client(
        "langchain-community",
        "JinaRerank",
        "none: its constant JINA_API_URL",
        "/v1/rerank",
        jina,
        patched="jina_rerank.JINA_API_URL",
        reason="/query has",
    ),
    Client(
        "langchain-community",
        "InfinityRerank of infinity-client",
        "client=Client(URL/infinity)",
        "/infinity/rerank",
        infinity,
        reason="AttributeError",
    ),
)
