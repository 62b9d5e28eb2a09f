"""Cohere's, Jina's and TEI's shapes of one question: which of these documents answer this query best.

Pure mapping to and from our own words: the query is the member's text, a document a candidate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from service.http.schemas import Document, RerankRequest
from service.request import Item
from service.scoring.blending import ScoringResult

# Log odds of 0 and 1 are infinite, which JSON cannot say.
_SMALLEST = 1e-7


def entries_of(body: RerankRequest) -> list[Item]:
    """Documents or texts as candidates; their places are their ids."""
    given: Sequence[str | Document] = (body.texts if body.documents is None else body.documents) or ()
    contents = [each if isinstance(each, str) else each.content for each in given]
    return [Item(str(index), content) for index, content in enumerate(contents)]


def answer_of(body: RerankRequest, answer: ScoringResult, request_id: str) -> object:
    """The answer in the shape of the question: best first, equals in the order given."""
    scored = [(index, score) for index, score in enumerate(answer.scores.tolist()) if not math.isnan(score)]
    best = sorted(scored, key=lambda each: (-each[1], each[0]))[: body.top_n]
    if body.texts is not None:
        return [_tei_rank(body, body.texts, index, score) for index, score in best]
    told: dict[str, object] = {
        "id": request_id,
        "model": f"{answer.model.name}-v{answer.model.version}",
        "results": [_result(body, index, score) for index, score in best],
    }
    if missing := [str(index) for index in np.flatnonzero(np.isnan(answer.scores))]:
        told["meta"] = {"warnings": [f"documents that could not be scored: {', '.join(missing)}"]}
    return told


def _tei_rank(body: RerankRequest, texts: Sequence[str], index: int, score: float) -> dict[str, object]:
    rank: dict[str, object] = {"index": index, "score": log_odds(score) if body.raw_scores else score}
    return {**rank, "text": texts[index]} if body.return_text else rank


def _result(body: RerankRequest, index: int, score: float) -> dict[str, object]:
    result: dict[str, object] = {"index": index, "relevance_score": score}
    if body.return_documents and body.documents is not None:
        document = body.documents[index]
        result["document"] = {"text": document} if isinstance(document, str) else _as_sent(document)
    return result


def _as_sent(document: Document) -> dict[str, object]:
    return {"text": document.text} if document.text is not None else document.model_dump(exclude_unset=True)


def log_odds(probability: float) -> float:
    """The logit: what a cross-encoder's raw score is."""
    bounded = min(max(probability, _SMALLEST), 1 - _SMALLEST)
    return math.log(bounded / (1 - bounded))
