"""The rerank APIs of Cohere, Jina and TEI, mapped to scoring: the query is the member, a document is a candidate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from service.http.compat.schemas import Document, RerankRequest
from service.request import Item
from service.scoring.blending import ScoringResult

# The log odds of 0 and 1 are infinite, which JSON cannot represent.
_SMALLEST = 1e-7


def items_of(body: RerankRequest) -> list[Item]:
    """Documents or texts as candidates, with their indexes as ids."""
    given: Sequence[str | Document] = (body.texts if body.documents is None else body.documents) or ()
    contents = [each if isinstance(each, str) else each.content for each in given]
    return [Item(str(index), content) for index, content in enumerate(contents)]


def response_of(body: RerankRequest, result: ScoringResult, request_id: str) -> object:
    """The response in the shape of the request: best first, equal scores in the order of the request."""
    scored = [(index, score) for index, score in enumerate(result.scores.tolist()) if not math.isnan(score)]
    best = sorted(scored, key=lambda each: (-each[1], each[0]))[: body.top_n]
    if body.texts is not None:
        return [_tei_rank(body, body.texts, index, score) for index, score in best]
    response: dict[str, object] = {
        "id": request_id,
        "model": f"{result.model.name}-v{result.model.version}",
        "results": [_result(body, index, score) for index, score in best],
    }
    if missing := [str(index) for index in np.flatnonzero(np.isnan(result.scores))]:
        response["meta"] = {"warnings": [f"documents that could not be scored: {', '.join(missing)}"]}
    return response


def _tei_rank(body: RerankRequest, texts: Sequence[str], index: int, score: float) -> dict[str, object]:
    rank: dict[str, object] = {"index": index, "score": log_odds(score) if body.raw_scores else score}
    return {**rank, "text": texts[index]} if body.return_text else rank


def _result(body: RerankRequest, index: int, score: float) -> dict[str, object]:
    result: dict[str, object] = {"index": index, "relevance_score": score}
    if body.return_documents and body.documents is not None:
        document = body.documents[index]
        result["document"] = {"text": document} if isinstance(document, str) else _echo(document)
    return result


def _echo(document: Document) -> dict[str, object]:
    return {"text": document.text} if document.text is not None else document.model_dump(exclude_unset=True)


def log_odds(probability: float) -> float:
    """The logit of a probability: the raw score of a cross-encoder."""
    bounded = min(max(probability, _SMALLEST), 1 - _SMALLEST)
    return math.log(bounded / (1 - bounded))
