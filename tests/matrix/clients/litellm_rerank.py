"""LiteLLM's `rerank`, by each provider that takes a base URL and speaks a shape that the service has."""

from __future__ import annotations

from collections.abc import Callable

import litellm

from tests.matrix.asking import KEY, Ask, Client, Found, found

litellm.suppress_debug_info = True
litellm.telemetry = False


def by(provider: str, below: str, *, tokens: bool) -> Callable[[Ask], Found]:
    """A call by one provider, with the base URL that it wants below the service's own."""

    def rank(ask: Ask) -> Found:
        answer = litellm.rerank(
            model=f"{provider}/any",
            query=ask.query,
            documents=list(ask.documents),
            top_n=ask.top_n,
            api_base=f"{ask.url}{below}",
            api_key=KEY,
        )
        billed = (answer.meta or {}).get("billed_units") or {}
        pairs = [(each["index"], each["relevance_score"]) for each in answer.results]
        return found(pairs, billed["total_tokens"] if tokens else None)

    return rank


# Provider, what follows the service's address, the route, and whether it passes usage on.
PROVIDERS = (
    ("cohere", "", "/v2/rerank", False),
    ("jina_ai", "/v1/rerank", "/v1/rerank", True),
    ("hosted_vllm", "/vllm", "/vllm/rerank", True),
    ("infinity", "/infinity", "/infinity/rerank", True),
    ("huggingface", "", "/rerank", False),
    ("voyage", "/voyage/v1", "/voyage/v1/rerank", True),
    ("together_ai", "/v1", "/v1/rerank", False),
    ("azure_ai", "/v1", "/v1/rerank", False),
    ("scaleway", "/v1", "/v1/rerank", False),
    ("litellm_proxy", "", "/v1/rerank", False),
    ("dashscope", "/v1/rerank", "/v1/rerank", False),
)
CLIENTS = tuple(
    Client(
        "litellm",
        f"rerank, {provider}",
        f"api_base=URL{below}",
        route,
        by(provider, below, tokens=tokens),
        tokens=tokens,
    )
    for provider, below, route, tokens in PROVIDERS
)
