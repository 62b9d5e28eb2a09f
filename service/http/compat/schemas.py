"""The rerank shapes of Cohere, Jina, TEI and Voyage. Other fields of a request are named in a warning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    model_validator,
)

from service.http.schemas import DeadlineMs, FieldsIn, Strict
from service.request import Priority

RERANK: JsonValue = {"query": "data engineer", "documents": ["Data platform lead", "Chef"], "top_n": 1}
RERANKED: JsonValue = {
    "object": "list",
    "id": "9f2c51d07b3e4a68",
    "model": "jobs-v1",
    "results": [{"index": 0, "relevance_score": 0.71}],
    "usage": {"total_tokens": 6},
    "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
}
Count = Annotated[StrictInt, Field(ge=1)]
Side = Annotated[
    Literal["Left", "Right"], BeforeValidator(lambda side: side.capitalize() if isinstance(side, str) else side)
]
"""Values that differ in case alone would break generated clients, so the contract has TEI's spelling."""


def _in_words(priority: object) -> object:
    """A priority as a number, of which a smaller one is more urgent, as one of Fitscore's words."""
    if type(priority) is not int:
        return priority
    return Priority.default if priority == 0 else Priority.sheddable if priority > 0 else Priority.critical


class Document(BaseModel):
    """A document as an object: its `text`, else its `fields`, else all its values."""

    model_config = ConfigDict(extra="allow", frozen=True)

    text: StrictStr | None = None
    fields: FieldsIn | None = None


class RerankRequest(BaseModel):
    """The request of Cohere, Jina and Voyage (`documents`) or of TEI (`texts`)."""

    model_config = ConfigDict(extra="allow", frozen=True, json_schema_extra={"examples": [RERANK]})

    query: Annotated[str, StringConstraints(min_length=1)]
    documents: Annotated[list[str | Document], Field(min_length=1)] | None = None
    texts: Annotated[list[str], Field(min_length=1)] | None = None
    top_n: Count | None = Field(None, description="The number of results; all without it.")
    top_k: Count | None = Field(None, description="Another name for `top_n` (Voyage, Mixedbread).")
    rank_fields: Annotated[list[StrictStr], Field(min_length=1)] | None = Field(
        None, description="Cohere: the fields of each document that are read; no others."
    )
    return_documents: StrictBool | None = None
    return_text: StrictBool | None = None
    raw_scores: StrictBool | None = Field(None, description="Return log odds instead of probabilities.")
    truncate: StrictBool | None = Field(None, description="False: a text that is longer than the model reads is a 422.")
    truncation: StrictBool | None = Field(None, description="Another name for `truncate` (Voyage).")
    truncation_direction: Side | None = Field(
        None, description="TEI: the side of a long document where tokens are cut, in any case. Right without it."
    )
    max_tokens_per_doc: Count | None = Field(None, description="Cohere: read at most this many tokens of a document.")
    max_chunks_per_doc: Count | None = Field(
        None, description="Of a model that reads long texts in chunks; with any other a warning says so."
    )
    model: str | None = Field(
        None, description="Name of the bundle. The default one answers for any other name, with a warning."
    )
    deadline_ms: DeadlineMs | None = Field(None, description="Deadline in milliseconds from arrival.")
    priority: Annotated[Priority | None, BeforeValidator(_in_words)] = Field(
        None,
        description="Under overload, `sheddable` is rejected first. A number is Cohere's and vLLM's: 0 is `default`,"
        " a greater one `sheddable`, a smaller one `critical`.",
    )

    @model_validator(mode="after")
    def _agrees(self) -> RerankRequest:
        if (self.documents is None) == (self.texts is None):
            raise ValueError("give exactly one of documents and texts")
        if None not in (self.top_n, self.top_k) and self.top_n != self.top_k:
            raise ValueError("top_n and top_k are two names of one number")
        if None not in (self.truncate, self.truncation) and self.truncate != self.truncation:
            raise ValueError("truncate and truncation are two names of one choice")
        return self


class RerankResult(Strict):
    """A result in Cohere's and Jina's shape; `document` if the request asks for it."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class ApiVersion(Strict):
    """The version of Cohere's API whose path was called."""

    version: Literal["1", "2"]


class BilledUnits(Strict):
    """Cohere's count of work: a query with up to 100 documents is one unit. Nothing is billed."""

    search_units: int


class RerankMeta(Strict):
    """Cohere's description of an answer. `warnings` only if there are any."""

    api_version: ApiVersion
    billed_units: BilledUnits
    warnings: list[str] | None = None


class RerankUsage(Strict):
    """Tokens that the model reads of the query and the documents."""

    total_tokens: int


class RerankResponse(Strict):
    """The response of Cohere and Jina: each document once, best first. A document without a text comes last, with 0."""

    model_config = ConfigDict(json_schema_extra={"examples": [RERANKED]})

    object: Literal["list"]
    id: str
    model: str
    results: list[RerankResult]
    usage: RerankUsage
    meta: RerankMeta


class TeiRank(Strict):
    """One entry of TEI's response, which is a list, best first."""

    index: int
    score: float
    text: str | None = None


class RerankingRequest(BaseModel):
    """Mixedbread's request."""

    model_config = ConfigDict(extra="allow", frozen=True)

    query: Annotated[str, StringConstraints(min_length=1)]
    input: Annotated[list[str | Document], Field(min_length=1)]
    top_k: Count | None = None
    rank_fields: Annotated[list[StrictStr], Field(min_length=1)] | None = None
    return_input: StrictBool | None = None
    model: str | None = None


class VllmRerankRequest(BaseModel):
    """vLLM's rerank request. A `top_n` of 0 or less is all documents. `use_activation: false` asks for log odds."""

    model_config = ConfigDict(extra="allow", frozen=True)

    query: Annotated[str, StringConstraints(min_length=1)]
    documents: str | Annotated[list[str | Document], Field(min_length=1)]
    top_n: StrictInt | None = None
    use_activation: StrictBool | None = None
    model: str | None = None


class PairScoreRequest(BaseModel):
    """vLLM's request: one text, and one or several to score with it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    text_1: Annotated[str, StringConstraints(min_length=1)] | Annotated[list[str], Field(min_length=1, max_length=1)]
    text_2: str | Annotated[list[str], Field(min_length=1)]
    use_activation: StrictBool | None = None
    model: str | None = None


Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class PredictRequest(BaseModel):
    """TEI's request of a cross-encoder: one pair of texts, or several with the same first text."""

    model_config = ConfigDict(extra="allow", frozen=True)

    inputs: Pair | Annotated[list[Pair], Field(min_length=1)]
    raw_scores: StrictBool | None = None
    truncate: StrictBool | None = None
    truncation_direction: Side | None = None


class Sentences(BaseModel):
    """What the Hub's client sends as `inputs`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    source_sentence: Annotated[str, StringConstraints(min_length=1)]
    sentences: Annotated[list[str], Field(min_length=1)]


class SimilarityRequest(BaseModel):
    """The request of the Hub's client for sentence similarity."""

    model_config = ConfigDict(extra="allow", frozen=True)

    inputs: Sentences
    parameters: dict[str, Any] | None = None
