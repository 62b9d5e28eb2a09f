"""`APIRanker` of rerankers, which asks for all documents: it takes no number of results."""

from __future__ import annotations

from collections.abc import Callable

from rerankers.models.api_rankers import APIRanker

from tests.matrix.asking import KEY, Ask, Client, Found, found


def by(provider: str, route: str) -> Callable[[Ask], Found]:
    def rank(ask: Ask) -> Found:
        ranker = APIRanker("any", KEY, provider, verbose=0, url=f"{ask.url}{route}")
        return found((each.document.doc_id, each.score) for each in ranker.rank(ask.query, list(ask.documents)).results)

    return rank


PROVIDERS = (
    ("cohere", "/v1/rerank"),
    ("jina", "/v1/rerank"),
    ("text-embeddings-inference", "/rerank"),
    ("voyage", "/voyage/v1/rerank"),
    ("mixedbread.ai", "/v1/reranking"),
)
CLIENTS = tuple(
    Client(
        "rerankers",
        f"APIRanker, {provider}",
        f"url=URL{route}",
        route,
        by(provider, route),
        top=False,
        reason="KeyError|TypeError",
    )
    for provider, route in PROVIDERS
)
