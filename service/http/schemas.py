"""The wire contract, and nothing else. Unknown fields are errors. The shapes of other APIs are in `compat`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)

from service.http.answers.warnings import Code
from service.request import ItemStatus, Priority

Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
# Strict, so that 5 stays 5 and is rendered as in training, and true is not 1.
# No two of these types share a value, so the first that fits is the right one.
_Number = StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)]
FieldIn = Annotated[StrictStr | list[StrictStr | _Number | None] | _Number | None, Field(union_mode="left_to_right")]
MAX_FIELDS = 100
FieldsIn = Annotated[dict[str, FieldIn], Field(max_length=MAX_FIELDS)]
# A candidate that cannot be read gets a status of its own, so its content is checked when it is rendered.
_FIELDS_SCHEMA = TypeAdapter(FieldsIn).json_schema()
CandidateFields = Annotated[dict[str, Any], WithJsonSchema(_FIELDS_SCHEMA)]
CandidateText = Annotated[Any, WithJsonSchema({"type": "string"})]
_FEATURES_SCHEMA = TypeAdapter(dict[str, float | None]).json_schema()
# As with fields: a value that is no number makes this one candidate invalid.
CandidateFeatures = Annotated[dict[str, Any], WithJsonSchema(_FEATURES_SCHEMA)]
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
    "member": {"tokens_read": 17, "tokens_cut": 0},
    "scores": [
        {
            "id": "j-1",
            "score": 0.83,
            "heads": {"relevance": 0.83},
            "status": "scored",
            "tokens_read": 9,
            "tokens_cut": 0,
        },
        {
            "id": "j-2",
            "score": 0.02,
            "heads": {"relevance": 0.02},
            "status": "scored",
            "tokens_read": 8,
            "tokens_cut": 0,
        },
    ],
    "degraded": False,
}


ProductName = Annotated[
    str | None, Field(description="Name of the bundle, where the service has several; without it the default one.")
]


class Strict(BaseModel):
    """A shape without further fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Member(Strict):
    """The member to rank for: `fields` for the model's template, or a `text` that is already rendered."""

    id: Id | None = None
    fields: FieldsIn | None = None
    text: str | None = None


class Candidate(Strict):
    """A candidate to rank: with `fields` or a `text`, or by the `id` of a stored candidate alone."""

    id: Id
    fields: CandidateFields | None = None
    text: CandidateText | None = None
    features: CandidateFeatures | None = Field(
        None, description="Numbers that the model's bundle declares; they count before those of a stored candidate."
    )


class ScoreRequest(Strict):
    """One member and the candidates to score for it."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    member: Member
    candidates: Annotated[list[Candidate], Field(min_length=1)]
    blend: dict[str, Weight] | None = Field(None, description="Weight of each head; the model's default without it.")
    deadline_ms: DeadlineMs | None = Field(None, description="Deadline in milliseconds from arrival.")
    priority: Priority = Field(Priority.default, description="Under overload, `sheddable` is rejected first.")
    model: ProductName = None
    strict: StrictBool = Field(False, description="Refuse fields that the model's template does not have.")
    heads: list[str] | None = Field(None, description="Heads to return; all without it. The score stays the same.")
    explain: StrictBool = Field(
        False, description="Return what each head changes when a feature falls back to its default."
    )


class ModelName(Strict):
    """The model that scored, and the policy that it was trained for."""

    name: str
    version: str
    policy: str | None


class TextWarning(Strict):
    """What to know about how a text and its features are read. `code` is stable; `fields` are the names it is about."""

    code: Code
    detail: str
    fields: list[str] | None = None


class Reading(Strict):
    """How a text is read: the tokens that the model reads, those that are cut off, and warnings if there are any."""

    tokens_read: int
    tokens_cut: int
    warnings: list[TextWarning] | None = None


class Score(Reading):
    """The score of one candidate. `score` and `heads` are null unless `status` is `scored`.

    A head is null where the texts do not say; the others make the score. `explain`, if it was asked for, has for each
    head and feature what the head changes when the feature falls back to its default. The parts need not add up.
    """

    id: str
    score: float | None
    heads: dict[str, float | None] | None
    status: ItemStatus
    explain: dict[str, dict[str, float | None]] | None = None


class ScoreResponse(Strict):
    """Scores in the order of the candidates. `degraded`: a candidate was not scored that a retry could score."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANSWER]})

    model: ModelName
    member: Reading
    scores: list[Score]
    degraded: bool


class StoredCandidate(Strict):
    """A candidate to store, with exactly one of `fields` and `text`, and features of its own if it has some."""

    id: Id
    fields: FieldsIn | None = None
    text: str | None = None
    features: dict[str, _Number | None] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> StoredCandidate:
        if (self.fields is None) == (self.text is None):
            raise ValueError("give exactly one of fields and text")
        return self


class PutCandidates(Strict):
    """Candidates to insert or replace, all or none."""

    candidates: Annotated[list[StoredCandidate], Field(min_length=1)]
    ttl_s: Annotated[float, Field(gt=0, le=315_360_000, allow_inf_nan=False)] | None = Field(
        None, description="Seconds until the candidates expire; without it they do not."
    )
    model: ProductName = None


class Progress(Strict):
    """Progress of this process with encoding stored candidates. A model that encodes none has nothing waiting."""

    waiting: int = Field(description="Candidates that are not encoded yet; until then their status may be `cold`.")
    room: int = Field(description="Further candidates that the queue can take; a PUT of more is answered 503.")


class PutResponse(Progress):
    """The number of stored candidates, and the progress of encoding."""

    upserted: int


class Share(Strict):
    """The share of requests for a rollout; 0 stops it."""

    share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Rollout(Strict):
    """A running rollout: its mode and its share of the requests."""

    mode: Literal["shadow", "canary"]
    share: float


class Activation(Strict):
    """How a version becomes live: at once, or once its slots are filled."""

    fill: Literal["stored", "catalogue"] | None = Field(
        None,
        description="Encode the candidates first, at idle priority: those of the store and those that are kept beside"
        " the slots, or those of the catalogue file. The answer is 202, and `GET /v1/models` shows the progress.",
    )


class FillProgress(Strict):
    """A fill: candidates that had slots before, that got them, and that could not be filled (the first 100 ids)."""

    source: Literal["stored", "catalogue"]
    state: Literal["running", "done", "failed", "stopped"]
    reason: str | None
    seen: int
    present: int
    filled: int
    unfilled: int
    unfilled_ids: list[str]


class ModelEntry(Strict):
    """A model that is live or can become live."""

    name: str
    version: str
    policy: str | None
    live: bool
    digest: str | None = Field(None, description="SHA-256 of the manifest of the live model, and so of all its files.")
    rollout: Rollout | None = None
    fill: FillProgress | None = Field(None, description="The last fill of this version.")


class ModelsResponse(Strict):
    """The live model and the models that can be activated."""

    models: list[ModelEntry]
    fault: str | None = Field(None, description="Why the last rollout of the default product stopped by itself.")
    faults: dict[str, str] = Field({}, description="The same for each product, by its name.")


class Probe(Strict):
    """The phase of the process, as the probes report it."""

    phase: Literal["loading", "ready", "draining", "failed", "dead"]


class Problem(BaseModel):
    """An error (RFC 9457). `type` is stable. `errors` point into the body and never repeat a value of it."""

    type: str
    title: str
    status: int
    request_id: str
    detail: str | None = None
    errors: list[dict[str, Any]] | None = None
