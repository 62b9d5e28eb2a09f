"""The table of shapes: how each API asks for scores, and how it answers. One path serves all of them.

A shape has two functions: its body -> the common request, and a ranking -> its answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from service.errors import FieldError, Invalid
from service.http.compat.rerank import Ranking
from service.http.compat.schemas import (
    PairScoreRequest,
    PredictRequest,
    RerankingRequest,
    RerankRequest,
    SimilarityRequest,
    VllmRerankRequest,
)

Body = TypeVar("Body")
LABEL = "LABEL_0"
"""The name of a cross-encoder's one output, as TEI has it."""
DOCUMENTS_PER_UNIT = 100
"""What Cohere counts as one search unit."""


@dataclass(frozen=True, slots=True)
class Shape(Generic[Body]):
    """One API. `places` are the members of its body, as pointers, by those of `POST /score`."""

    ask: Callable[[Body], RerankRequest]
    answer: Callable[[Ranking, Body], object]
    places: Callable[[Body], Mapping[str, str]]


def _request(extra: Mapping[str, Any] | None, **own: object) -> RerankRequest:
    """The common request. `extra` is what the shape does not have: a common option, or a name for the warning.

    Raises pydantic's ValidationError for an option in `extra`.
    """
    return RerankRequest.model_validate({**(extra or {}), **own})


def _usage(ranking: Ranking) -> dict[str, int]:
    return {"prompt_tokens": ranking.tokens, "total_tokens": ranking.tokens}


# Cohere and Jina, or TEI, by what the body has.


def _of_version(version: str) -> Shape[RerankRequest]:
    """The shape of Cohere's and Jina's `documents` or of TEI's `texts`. `version` is that of Cohere's path."""
    return Shape(
        lambda body: body,
        lambda ranking, _: _cohere(ranking, version) if ranking.body.texts is None else _tei(ranking),
        _documents,
    )


def _cohere(ranking: Ranking, version: str) -> dict[str, object]:
    units = math.ceil(len(ranking.scores) / DOCUMENTS_PER_UNIT)
    meta: dict[str, object] = {"api_version": {"version": version}, "billed_units": {"search_units": units}}
    return {
        "object": "list",
        "id": ranking.id,
        "model": ranking.model,
        "results": [
            {"index": index, "relevance_score": ranking.scores[index], **_document(ranking, index, as_text=False)}
            for index in ranking.order
        ],
        "usage": {"total_tokens": ranking.tokens},
        "meta": {**meta, "warnings": list(ranking.warnings)} if ranking.warnings else meta,
    }


def _tei(ranking: Ranking) -> list[dict[str, object]]:
    texts = ranking.body.texts if ranking.body.return_text else None
    return [
        {"index": index, "score": ranking.scores[index], **({} if texts is None else {"text": texts[index]})}
        for index in ranking.order
    ]


def _document(ranking: Ranking, index: int, *, as_text: bool, name: str = "document") -> dict[str, object]:
    """The document under its name, if the request asks for it: as a text, or as an object."""
    if not ranking.body.return_documents or ranking.body.documents is None:
        return {}
    document = ranking.body.documents[index]
    text = document if isinstance(document, str) else document.text
    if text is not None:
        return {name: text if as_text else {"text": text}}
    assert not isinstance(document, str)
    return {name: document.model_dump(exclude_unset=True)}


# Voyage, Infinity, Mixedbread.


def _voyage(ranking: Ranking, _: object) -> dict[str, object]:
    data = [
        {"index": index, "relevance_score": ranking.scores[index], **_document(ranking, index, as_text=True)}
        for index in ranking.order
    ]
    return {"object": "list", "data": data, "model": ranking.model, "usage": {"total_tokens": ranking.tokens}}


def _infinity(ranking: Ranking, _: object) -> dict[str, object]:
    results = [
        {"index": index, "relevance_score": ranking.scores[index], **_document(ranking, index, as_text=True)}
        for index in ranking.order
    ]
    head: dict[str, object] = {"object": "rerank", "id": ranking.id, "created": int(time.time())}
    return {**head, "results": results, "model": ranking.model, "usage": _usage(ranking)}


def _reranking(body: RerankingRequest) -> RerankRequest:
    return _request(
        body.model_extra,
        query=body.query,
        documents=body.input,
        top_k=body.top_k,
        rank_fields=body.rank_fields,
        return_documents=body.return_input,
        model=body.model,
    )


def _mixedbread(ranking: Ranking, _: object) -> dict[str, object]:
    data = [
        {
            "index": index,
            "score": ranking.scores[index],
            **_document(ranking, index, as_text=True, name="input"),
            "object": "rank_result",
        }
        for index in ranking.order
    ]
    asked = {"top_k": len(data), "return_input": bool(ranking.body.return_documents)}
    return {"object": "list", "data": data, "model": ranking.model, "usage": _usage(ranking), **asked}


# vLLM.


def _vllm_rerank(body: VllmRerankRequest) -> RerankRequest:
    return _request(
        _options(body.model_extra, body.use_activation),
        query=body.query,
        documents=[body.documents] if isinstance(body.documents, str) else body.documents,
        top_n=body.top_n if (body.top_n or 0) > 0 else None,
        return_documents=True,
        model=body.model,
    )


def _options(extra: Mapping[str, Any] | None, use_activation: bool | None) -> dict[str, Any]:
    """The options of vLLM's request that are not its own. A score without its activation is the log odds."""
    return {**(extra or {}), **({} if use_activation is None else {"raw_scores": not use_activation})}


def _vllm_ranked(ranking: Ranking, _: object) -> dict[str, object]:
    results = [
        {"index": index, **_document(ranking, index, as_text=False), "relevance_score": ranking.scores[index]}
        for index in ranking.order
    ]
    return {"id": ranking.id, "model": ranking.model, "usage": _usage(ranking), "results": results}


# Scores in the order of the texts: vLLM, TEI's /predict, and the Hub's sentence similarity.


def _pair_scores(body: PairScoreRequest) -> RerankRequest:
    query = body.text_1 if isinstance(body.text_1, str) else body.text_1[0]
    texts = [body.text_2] if isinstance(body.text_2, str) else body.text_2
    extra = _options(body.model_extra, body.use_activation)
    return _request(extra, query=query, texts=texts, model=body.model)


def _vllm(ranking: Ranking, _: object) -> dict[str, object]:
    data = [{"index": index, "object": "score", "score": score} for index, score in enumerate(ranking.scores)]
    head: dict[str, object] = {"id": ranking.id, "object": "list", "created": int(time.time()), "model": ranking.model}
    return {**head, "data": data, "usage": _usage(ranking)}


def _predict(body: PredictRequest) -> RerankRequest:
    pairs = body.inputs if isinstance(body.inputs[0], list) else [body.inputs]
    (query, _), *_ = pairs
    faults = [
        FieldError(f"/inputs/{index}/0", "must be the same text for all pairs of a request")
        for index, pair in enumerate(pairs)
        if pair[0] != query
    ]
    if faults:
        raise Invalid(errors=faults)
    return _request(
        body.model_extra,
        query=query,
        texts=[pair[1] for pair in pairs],
        raw_scores=body.raw_scores,
        truncate=body.truncate,
        truncation_direction=body.truncation_direction,
    )


def _predicted(ranking: Ranking, body: PredictRequest) -> object:
    predicted = [[{"score": score, "label": LABEL}] for score in ranking.scores]
    return predicted if isinstance(body.inputs[0], list) else predicted[0]


def _similarity(body: SimilarityRequest) -> RerankRequest:
    return _request(body.model_extra, query=body.inputs.source_sentence, texts=body.inputs.sentences)


def _documents(body: RerankRequest) -> Mapping[str, str]:
    return {"member": "/query", "candidates": "/texts" if body.documents is None else "/documents"}


COHERE_1 = _of_version("1")
COHERE_2 = _of_version("2")
VOYAGE: Shape[RerankRequest] = Shape(lambda body: body, _voyage, _documents)
INFINITY: Shape[RerankRequest] = Shape(lambda body: body, _infinity, _documents)
MIXEDBREAD: Shape[RerankingRequest] = Shape(
    _reranking, _mixedbread, lambda _: {"member": "/query", "candidates": "/input"}
)
VLLM: Shape[VllmRerankRequest] = Shape(
    _vllm_rerank, _vllm_ranked, lambda _: {"member": "/query", "candidates": "/documents"}
)
VLLM_SCORE: Shape[PairScoreRequest] = Shape(
    _pair_scores, _vllm, lambda _: {"member": "/text_1", "candidates": "/text_2"}
)
PREDICT: Shape[PredictRequest] = Shape(_predict, _predicted, lambda _: {"member": "/inputs", "candidates": "/inputs"})
SIMILARITY: Shape[SimilarityRequest] = Shape(
    _similarity,
    lambda ranking, _: list(ranking.scores),
    lambda _: {"member": "/inputs/source_sentence", "candidates": "/inputs/sentences"},
)
