"""The rerank APIs of Cohere, Jina and TEI, mapped to scoring: the query is the member, a document is a candidate."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from models.text import Window
from service.errors import Invalid
from service.http.answers.warnings import MEMBER, TextWarning, Warnings
from service.http.compat.schemas import Document, RerankRequest
from service.request import Item, ItemStatus, Priority, ScoringRequest
from service.scoring.blending import ScoringResult

# The log odds of 0 and 1 are infinite, which JSON cannot represent.
_SMALLEST = 1e-7
# Warnings name this many documents and options at most, and a header has this many bytes.
_MOST_NAMED = 20
_MAX_HEADER_BYTES = 2048
_LONGEST_NAME = 64


def request_of(body: RerankRequest, candidates: Sequence[Item], deadline: float) -> ScoringRequest:
    """The scoring request: all documents or none, read as the options say."""
    return ScoringRequest(
        member=Item("", body.query),
        candidates=candidates,
        blend=None,
        deadline=deadline,
        priority=body.priority or Priority.default,
        window=Window(body.max_tokens_per_doc, body.truncation_direction == "Left", body.max_chunks_per_doc),
        whole=True,
        refuse_cut=False in (body.truncate, body.truncation),
    )


def relocated(error: Invalid, places: Mapping[str, str]) -> Invalid:
    """The error with pointers into another body: `places` are its members, by those of `POST /score`."""
    faults = []
    for fault in error.errors:
        first, *rest = fault.place.removeprefix("/").split("/")
        below = "".join(f"/{part}" for part in rest)
        faults.append(replace(fault, place=places.get(first, f"/{first}") + below))
    return Invalid(errors=faults)


@dataclass(frozen=True, slots=True)
class Ranking:
    """A scored rerank request, from which every shape is made.

    `scores` in the order of the documents, 0 or the least log odds without a score; `order` are their indexes, best
    first, equal scores in the order of the request, as many as were asked for.
    """

    body: RerankRequest
    id: str
    model: str
    scores: Sequence[float]
    order: Sequence[int]
    tokens: int
    warnings: Sequence[str]


def ranking_of(body: RerankRequest, result: ScoringResult, warnings: Sequence[str], request_id: str) -> Ranking:
    scores = [0.0 if math.isnan(score) else score for score in result.scores.tolist()]
    unscored = [status is not ItemStatus.scored for status in result.statuses]
    order = sorted(range(len(scores)), key=lambda index: (unscored[index], -scores[index], index))
    counts = (result.readings.member, *result.readings.candidates.values())
    return Ranking(
        body=body,
        id=request_id,
        model=f"{result.model.name}-v{result.model.version}",
        scores=list(map(log_odds, scores)) if body.raw_scores else scores,
        order=order[: body.top_n or body.top_k],
        tokens=sum(each.read for each in counts),
        warnings=warnings,
    )


def log_odds(probability: float) -> float:
    """The logit of a probability: the raw score of a cross-encoder."""
    bounded = min(max(probability, _SMALLEST), 1 - _SMALLEST)
    return math.log(bounded / (1 - bounded))


# Warnings: what is not honoured, what is cut, and what could not be read.


def about_model(named: str | None, result: ScoringResult) -> list[str]:
    """A warning where the request names another model than the one that answers: callers of other APIs do."""
    model = result.model
    if named in (None, "", model.name, f"{model.name}-v{model.version}"):
        return []
    return [f"the model that the request names is not served here: {model.name} answers"]


def sentences_of(body: RerankRequest, result: ScoringResult, warnings: Warnings) -> list[str]:
    """Warnings in sentences, as the rerank shapes have them."""
    found = list(_about_options(body))
    if body.max_chunks_per_doc is not None and result.model.encoder.chunks == 1:
        found.append("max_chunks_per_doc has no effect: each document is read as one text")
    counts = result.readings.candidates
    invalid = [place for place, status in enumerate(result.statuses) if status is ItemStatus.invalid]
    failed = [place for place, status in enumerate(result.statuses) if status is ItemStatus.failed]
    found += _about(invalid, "documents without a text that the model can read, which come last with the score 0")
    found += _about(failed, "documents that the model failed on, which come last with the score 0")
    member = result.readings.member
    if member.cut:
        found.append(f"the query is cut: {member.read} of {member.read + member.cut} tokens are read")
    cut = [place for place, each in counts.items() if each.cut]
    if cut:
        found += _about(cut, f"documents that are cut to {max(counts[place].read for place in cut)} tokens")
    found += [f"the query: {warning.detail}" for warning in warnings.get(MEMBER, ())]
    by_detail: dict[str, list[int]] = {}
    for place, each in warnings.items():
        for warning in each:
            if place != MEMBER and warning.code != "unreadable":
                by_detail.setdefault(_general(warning), []).append(place)
    for detail, places in by_detail.items():
        found += _about(places, detail)
    return found


def _general(warning: TextWarning) -> str:
    """The warning in words that are the same for many documents."""
    return {
        "unknown_field": f"documents with fields that the model was trained without ({', '.join(warning.fields)})",
        "unknown_tokens": "documents with many tokens that are not in the model's vocabulary",
    }.get(warning.code, f"documents of which {warning.detail}")


def _about(places: Sequence[int], detail: str) -> Iterable[str]:
    if places:
        more = f" and {len(places) - _MOST_NAMED} more" if len(places) > _MOST_NAMED else ""
        yield f"{detail}: {', '.join(map(str, places[:_MOST_NAMED]))}{more}"


def _about_options(body: RerankRequest) -> Iterable[str]:
    unknown = [name[:_LONGEST_NAME] for name, value in (body.model_extra or {}).items() if value is not None]
    if unknown:
        yield f"options that have no effect: {', '.join(unknown[:_MOST_NAMED])}"
    if body.texts is not None and (body.rank_fields or body.return_documents):
        yield "rank_fields and return_documents have no effect on texts"
    if body.documents is None:
        return
    if body.return_text:
        yield "return_text has no effect on documents; return_documents has"
    objects = [each for each in body.documents if not isinstance(each, str)]
    if body.rank_fields is not None and len(objects) < len(body.documents):
        yield "rank_fields has no effect on documents that are texts"
    if body.rank_fields is None and any(each.text is not None and _has_more(each) for each in objects):
        yield "of documents with a text, only the text is read; rank_fields chooses other fields"


def _has_more(document: Document) -> bool:
    return document.fields is not None or any(isinstance(each, str) for each in (document.model_extra or {}).values())


def header_of(warnings: Sequence[str]) -> dict[str, str]:
    """The warnings as a header, for answers that have no place for them: a JSON list in ASCII."""
    kept = list(warnings)
    while kept and len(json.dumps(kept)) > _MAX_HEADER_BYTES:
        kept.pop()
    return {"X-Fitscore-Warnings": json.dumps(kept)} if kept else {}
