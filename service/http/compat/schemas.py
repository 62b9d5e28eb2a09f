"""The rerank shapes of Cohere, Jina and TEI. Unknown fields of a request are ignored."""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from models.template import Fields
from service.http.schemas import FieldsIn, Strict

RERANK: JsonValue = {"query": "data engineer", "documents": ["Data platform lead", "Chef"], "top_n": 1}
RERANKED: JsonValue = {"id": "9f2c51d07b3e4a68", "model": "jobs-v1", "results": [{"index": 0, "relevance_score": 0.71}]}


class Document(BaseModel):
    """A document as an object: its `text`, else its `fields`, else its values that are strings or numbers."""

    model_config = ConfigDict(extra="allow", frozen=True)

    text: str | None = None
    fields: FieldsIn | None = None

    @property
    def content(self) -> str | Fields:
        if self.text is not None:
            return self.text
        if self.fields is not None:
            return self.fields
        plain = {name: value for name, value in (self.model_extra or {}).items() if type(value) in (str, int, float)}
        return cast(Fields, plain)


class RerankRequest(BaseModel):
    """The request of Cohere and Jina (`documents`) or TEI (`texts`). Their other fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, json_schema_extra={"examples": [RERANK]})

    query: Annotated[str, StringConstraints(min_length=1)]
    documents: Annotated[list[str | Document], Field(min_length=1)] | None = None
    texts: Annotated[list[str], Field(min_length=1)] | None = None
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool | None = None
    return_text: bool | None = None
    raw_scores: bool | None = Field(None, description="TEI: return log odds instead of probabilities.")
    truncate: bool | None = Field(
        None, description="Ignored: texts are always truncated to the length that the model reads."
    )
    model: str | None = Field(None, description="Ignored: the live model answers.")
    max_tokens_per_doc: int | None = None

    @model_validator(mode="after")
    def _one_of(self) -> RerankRequest:
        if (self.documents is None) == (self.texts is None):
            raise ValueError("give exactly one of documents and texts")
        return self


class RerankResult(Strict):
    """A result in Cohere's and Jina's shape; `document` if the request asks for it."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class RerankMeta(Strict):
    """Present only if there are warnings."""

    warnings: list[str]


class RerankResponse(Strict):
    """The response of Cohere and Jina, best first. `meta` names the documents that could not be scored."""

    model_config = ConfigDict(json_schema_extra={"examples": [RERANKED]})

    id: str
    model: str
    results: list[RerankResult]
    meta: RerankMeta | None = None


class TeiRank(Strict):
    """One entry of TEI's response, which is a list, best first."""

    index: int
    score: float
    text: str | None = None
