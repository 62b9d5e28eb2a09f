"""The wire contract, and nothing else.

Unknown fields are errors in our own shapes, and ignored in those of others.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    model_validator,
)

from models.template import Fields
from service.request import ItemStatus, Priority

Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
# Strict, so that 5 stays 5 and is rendered as it was in training, and true is not 1.
# No two of these types share a value, so the first that fits is the right one: no need to try them all.
FieldIn = Annotated[
    StrictStr | list[StrictStr] | StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)],
    Field(union_mode="left_to_right"),
]
FieldsIn = Annotated[dict[str, FieldIn], Field(max_length=100)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
MAX_DEADLINE_MS = 600_000
DeadlineMs = Annotated[int, Field(ge=1, le=MAX_DEADLINE_MS)]

EXAMPLE: JsonValue = {
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
ANSWER: JsonValue = {
    "model": {"name": "jobs", "version": "3", "policy": "jobs-policy@1.2.0"},
    "scores": [
        {"id": "j-1", "score": 0.83, "heads": {"relevance": 0.83}, "status": "scored"},
        {"id": "j-2", "score": 0.02, "heads": {"relevance": 0.02}, "status": "scored"},
    ],
    "degraded": False,
}
RERANK: JsonValue = {"query": "data engineer", "documents": ["Data platform lead", "Chef"], "top_n": 1}
RERANKED: JsonValue = {
    "id": "9f2c51d07b3e4a68",
    "model": "jobs-v1",
    "results": [{"index": 0, "relevance_score": 0.71}],
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
    deadline_ms: DeadlineMs | None = None
    priority: Priority = Priority.default


def content_of(item: Member | Candidate | StoredCandidate) -> str | Fields | None:
    """What there is to score: fields or a text, or nothing besides the id of a stored candidate."""
    return item.text if item.fields is None else item.fields


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
    status: ItemStatus


class ScoreResponse(_Ours):
    """Scores in request order; `degraded` when a candidate that could have been scored was not."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANSWER]})

    model: ModelName
    scores: list[Score]
    degraded: bool


class Document(BaseModel):
    """A document given as an object: its `text`, else its `fields`, else whatever plain values it holds."""

    model_config = ConfigDict(extra="allow", frozen=True)

    text: str | None = None
    fields: FieldsIn | None = None

    @property
    def content(self) -> str | Fields:
        """What is scored."""
        if self.text is not None:
            return self.text
        if self.fields is not None:
            return self.fields
        plain = {name: value for name, value in (self.model_extra or {}).items() if type(value) in (str, int, float)}
        return cast(Fields, plain)


class RerankRequest(_Theirs):
    """What Cohere, Jina (`documents`) and TEI (`texts`) clients send; other fields of theirs are passed over."""

    model_config = ConfigDict(json_schema_extra={"examples": [RERANK]})

    query: Annotated[str, StringConstraints(min_length=1)]
    documents: Annotated[list[str | Document], Field(min_length=1)] | None = None
    texts: Annotated[list[str], Field(min_length=1)] | None = None
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool | None = None
    return_text: bool | None = None
    raw_scores: bool | None = Field(None, description="TEI: log odds instead of probabilities")
    truncate: bool | None = Field(None, description="texts are always cut to what the model reads")
    model: str | None = Field(None, description="the live model answers, whatever stands here")
    max_tokens_per_doc: int | None = None

    @model_validator(mode="after")
    def _one_of(self) -> RerankRequest:
        if (self.documents is None) == (self.texts is None):
            raise ValueError("give exactly one of documents and texts")
        return self


class RerankResult(_Ours):
    """One of Cohere's and Jina's results; `document` where it was asked for."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class RerankMeta(_Ours):
    """Stands there only when something is to be said."""

    warnings: list[str]


class RerankResponse(_Ours):
    """Cohere's and Jina's answer, best first. Documents that could not be scored are left out; `meta` says so."""

    model_config = ConfigDict(json_schema_extra={"examples": [RERANKED]})

    id: str
    model: str
    results: list[RerankResult]
    meta: RerankMeta | None = None


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
    """Candidates to insert or replace, all or none; for good, or for `ttl_s` seconds."""

    candidates: Annotated[list[StoredCandidate], Field(min_length=1)]
    ttl_s: Annotated[float, Field(gt=0, le=315_360_000, allow_inf_nan=False)] | None = None


class Progress(_Ours):
    """How far this process is with encoding stored candidates; nothing waits for a model that encodes none."""

    waiting: int = Field(description="not encoded yet; until then they may come back `cold`")
    room: int = Field(description="how many more may wait; a PUT of more is told 503 and when to come back")


class PutResponse(Progress):
    """How many were stored, and how many of all wait to be encoded."""

    upserted: int


class Share(_Ours):
    """Of the traffic, for a model that is to be compared with the live one; 0 ends that."""

    share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Rollout(_Ours):
    """What a model does beside the live one, and on which share of the traffic."""

    mode: Literal["shadow", "canary"]
    share: float


class ModelEntry(_Ours):
    """A bundle beside the live one, or the live one itself."""

    name: str
    version: str
    policy: str | None
    live: bool
    rollout: Rollout | None = None


class ModelsResponse(_Ours):
    """The models that can be activated."""

    models: list[ModelEntry]
    fault: str | None = Field(None, description="why the last shadow or canary ended by itself")


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
