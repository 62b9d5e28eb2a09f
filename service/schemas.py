"""The wire contract, and nothing else. Unknown fields are errors in our own shapes, and ignored in those of others."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from service.work import PairStatus, Priority

Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
FieldsIn = Annotated[dict[str, str | list[str] | Finite], Field(max_length=100)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]

EXAMPLE = {
    "member": {
        "id": "m-17",
        "fields": {
            "headline": "Data engineer",
            "skills": ["python", "spark", "airflow"],
            "experience": "Built streaming pipelines for a bank",
        },
    },
    "candidates": [
        {"id": "j-1", "fields": {"title": "Senior data engineer", "description": "Own our data platform."}},
        {"id": "j-2", "fields": {"title": "Pastry chef", "description": "Bake for a small hotel."}},
    ],
    "deadline_ms": 2000,
}


class _Ours(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Theirs(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Member(_Ours):
    """Who we rank for: `fields` for the bundle's template, or a `text` that is already rendered."""

    id: Id | None = None
    fields: FieldsIn | None = None
    text: str | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Member:
        if (self.fields is None) == (self.text is None):
            raise ValueError("give exactly one of fields and text")
        return self


class Candidate(_Ours):
    """What is ranked: with `fields` or `text`, or by an `id` that stands in the candidate store."""

    id: Id
    fields: FieldsIn | None = None
    text: str | None = None

    @model_validator(mode="after")
    def _not_both(self) -> Candidate:
        if self.fields is not None and self.text is not None:
            raise ValueError("give fields or text, not both")
        return self


class ScoreRequest(_Ours):
    """One member and the candidates to score for them."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    member: Member
    candidates: Annotated[list[Candidate], Field(min_length=1)]
    blend: dict[str, Weight] | None = None
    deadline_ms: Annotated[int, Field(ge=1, le=600_000)] | None = None
    priority: Priority = Priority.default


class ModelName(_Ours):
    """Which model and which policy answered."""

    name: str
    version: str
    policy: str | None


class Score(_Ours):
    """One candidate's answer. `score` and `heads` are null unless `status` is `scored`."""

    id: str
    score: float | None
    heads: dict[str, float] | None
    status: PairStatus


class ScoreResponse(_Ours):
    """Scores in request order; `degraded` when a candidate that could have been scored was not."""

    model: ModelName
    scores: list[Score]
    degraded: bool


class Document(_Theirs):
    """A document given as an object."""

    text: str


class RerankRequest(_Theirs):
    """What Cohere, Jina (`documents`) and TEI (`texts`) clients send."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"query": "data engineer", "documents": ["Data platform lead", "Chef"], "top_n": 1}]}
    )

    query: Annotated[str, StringConstraints(min_length=1)]
    documents: Annotated[list[str | Document], Field(min_length=1)] | None = None
    texts: Annotated[list[str], Field(min_length=1)] | None = None
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool = False
    return_text: bool = False
    raw_scores: bool = False
    model: str | None = None

    @model_validator(mode="after")
    def _one_of(self) -> RerankRequest:
        if (self.documents is None) == (self.texts is None):
            raise ValueError("give exactly one of documents and texts")
        return self


class RerankResult(_Ours):
    """One of Cohere's and Jina's results; `document` where it was asked for."""

    index: int
    relevance_score: float
    document: Document | None = None


class RerankResponse(_Ours):
    """Cohere's and Jina's answer, best first."""

    id: str
    model: str
    results: list[RerankResult]


class TeiRank(_Ours):
    """One entry of TEI's answer, which is a bare list, best first."""

    index: int
    score: float
    text: str | None = None


class StoredCandidate(_Ours):
    """A candidate to keep; exactly one of `fields` and `text`."""

    id: Id
    fields: FieldsIn | None = None
    text: str | None = None

    @model_validator(mode="after")
    def _one_of(self) -> StoredCandidate:
        if (self.fields is None) == (self.text is None):
            raise ValueError("give exactly one of fields and text")
        return self


class PutCandidates(_Ours):
    """Candidates to insert or replace, all or none."""

    candidates: Annotated[list[StoredCandidate], Field(min_length=1)]


class PutResponse(_Ours):
    """How many were stored."""

    upserted: int


class ModelEntry(_Ours):
    """A bundle beside the live one, or the live one itself."""

    name: str
    version: str
    policy: str | None
    live: bool


class ModelsResponse(_Ours):
    """The models that can be activated."""

    models: list[ModelEntry]


class Probe(_Ours):
    """What the probes say: the phase of start-up or shutdown."""

    phase: Literal["loading", "ready", "draining", "failed", "dead"]


class Problem(BaseModel):
    """RFC 9457. `type` is stable; `errors` point into the body and never repeat a value of it."""

    type: str
    title: str
    status: int
    request_id: str
    detail: str | None = None
    errors: list[dict[str, Any]] | None = None
