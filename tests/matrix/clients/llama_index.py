"""The rerankers of LlamaIndex."""

from __future__ import annotations

import os
from typing import Any
from unittest.mock import patch

from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank
from llama_index.postprocessor.jinaai_rerank import JinaRerank
from llama_index.postprocessor.mixedbreadai_rerank import MixedbreadAIRerank
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference
from llama_index.postprocessor.voyageai_rerank import VoyageAIRerank

from tests.matrix.asking import KEY, Ask, Client, Found, found


def _found(reranker: Any, ask: Ask) -> Found:
    nodes = [NodeWithScore(node=TextNode(text=text, id_=str(place))) for place, text in enumerate(ask.documents)]
    kept = reranker.postprocess_nodes(nodes, query_str=ask.query)
    return found((int(each.node.node_id), each.score) for each in kept)


def cohere(ask: Ask) -> Found:
    return _found(CohereRerank(top_n=ask.top_n, model="any", api_key=KEY, base_url=ask.url, max_retries=1), ask)


def jina(ask: Ask) -> Found:
    return _found(JinaRerank(top_n=ask.top_n, api_key=KEY, base_url=f"{ask.url}/v1"), ask)


def tei(ask: Ask) -> Found:
    return _found(TextEmbeddingInference(top_n=ask.top_n, base_url=ask.url, auth_token=f"Bearer {KEY}"), ask)


def mixedbread(ask: Ask) -> Found:
    with patch.dict(os.environ, {"MIXEDBREAD_BASE_URL": ask.url}):
        return _found(MixedbreadAIRerank(top_n=ask.top_n, api_key=KEY), ask)


def voyage(ask: Ask) -> Found:
    with patch("voyageai._base.get_default_base_url", lambda _: f"{ask.url}/voyage/v1"):
        return _found(VoyageAIRerank(model="rerank-2", top_n=ask.top_n, api_key=KEY), ask)


LIBRARY = "llama-index-postprocessor"
CLIENTS = (
    Client(f"{LIBRARY}-cohere-rerank", "CohereRerank", "base_url=URL", "/v2/rerank", cohere, waits=True),
    Client(f"{LIBRARY}-jinaai-rerank", "JinaRerank", "base_url=URL/v1", "/v1/rerank", jina, reason="/query has"),
    Client(f"{LIBRARY}-tei-rerank", "TextEmbeddingInference", "base_url=URL", "/rerank", tei, reason="AssertionError"),
    Client(
        f"{LIBRARY}-mixedbreadai-rerank",
        "MixedbreadAIRerank",
        "MIXEDBREAD_BASE_URL=URL",
        "/v1/reranking",
        mixedbread,
        waits=True,
    ),
    Client(
        f"{LIBRARY}-voyageai-rerank",
        "VoyageAIRerank",
        "none: a function of voyageai",
        "/voyage/v1/rerank",
        voyage,
        patched="voyageai._base.get_default_base_url",
    ),
)
