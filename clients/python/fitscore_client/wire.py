"""What goes over the wire, as frozen dataclasses. Fields of an answer that this version does not know are ignored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Content = str | Mapping[str, str | Sequence[str] | int | float]
"""A text that is already rendered, or the fields for the model's template."""
Priority = Literal["critical", "default", "sheddable"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate: with its content, or by the id of a stored candidate alone. `features` are numbers that the bundle
    declares; in a request they count before stored ones.
    """

    id: str
    content: Content | None = field(default=None, repr=False)
    features: Mapping[str, float] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Model:
    """A model; `live` is None in an answer to /score. `rollout` is its running rollout, as (mode, share)."""

    name: str
    version: str
    policy: str | None
    live: bool | None = None
    rollout: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Models:
    """The live model and those that can be activated; `fault` says why the last rollout stopped by itself."""

    models: tuple[Model, ...]
    fault: str | None


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one candidate. `score` and `heads` are None unless `status` is "scored".

    A head is None where the texts do not say. `explain`, if it was asked for, has by head and feature what the head
    changes when the feature falls back to its default.
    """

    id: str
    score: float | None
    heads: Mapping[str, float | None] | None
    status: str
    explain: Mapping[str, Mapping[str, float | None]] | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores in the order of the candidates. `degraded`: a retry could score a candidate that has no score.

    `models` has more than one entry if the base URLs have different live models, whose scores do not compare.
    """

    models: tuple[Model, ...]
    scores: tuple[Score, ...]
    degraded: bool

    def best_first(self) -> list[Score]:
        """The scored candidates by falling score."""
        return sorted((each for each in self.scores if each.score is not None), key=lambda each: -(each.score or 0))


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document of a rerank: its index in the request, and its score."""

    index: int
    score: float


@dataclass(frozen=True, slots=True)
class Reranking:
    """Documents by falling score. `warnings` name those that could not be scored."""

    model: str
    results: tuple[Ranked, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """Encoding of stored candidates: how many wait, and how many more may wait."""

    waiting: int
    room: int


@dataclass(frozen=True, slots=True)
class Upserted:
    """Progress of an upsert: candidates stored, left to send, and waiting to be encoded in the service."""

    upserted: int
    left: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Probe:
    """An answer of a probe: whether its status is 200, and the phase of the process."""

    ok: bool
    phase: str


def encoded(body: object) -> bytes:
    """The body as JSON. Raises ValueError without a part of it in the message."""
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise ValueError("a text is not valid Unicode") from None


def content(given: Content | None) -> dict[str, object]:
    """The fields of a member, candidate or document that carry its content."""
    if given is None:
        return {}
    return {"text": given} if isinstance(given, str) else {"fields": dict(given)}


def model(data: Mapping[str, Any]) -> Model:
    """Read a model's name, and its state where there is one."""
    rollout = data.get("rollout")
    shared = (str(rollout["mode"]), float(rollout["share"])) if rollout else None
    return Model(data["name"], data["version"], data["policy"], data.get("live"), shared)


def models(data: Mapping[str, Any]) -> Models:
    """Read an answer of GET /v1/models."""
    return Models(tuple(model(each) for each in data["models"]), data.get("fault"))


def scores(data: Mapping[str, Any]) -> Scores:
    """Read an answer of POST /score."""
    read = tuple(
        Score(each["id"], each["score"], each["heads"], each["status"], each.get("explain")) for each in data["scores"]
    )
    return Scores((model(data["model"]),), read, data["degraded"])


def merged(parts: Sequence[Scores], ids: Sequence[str]) -> Scores:
    """The answers of several base URLs as one, in the order of the ids."""
    found = {each.id: each for part in parts for each in part.scores}
    names = tuple(dict.fromkeys(name for part in parts for name in part.models))
    return Scores(names, tuple(found[each] for each in ids), any(part.degraded for part in parts))


def reranking(data: Mapping[str, Any]) -> Reranking:
    """Read an answer of POST /rerank."""
    ranked = tuple(Ranked(each["index"], each["relevance_score"]) for each in data["results"])
    return Reranking(data["model"], ranked, tuple((data.get("meta") or {}).get("warnings", ())))


def progress(data: Mapping[str, Any]) -> Progress:
    """Read an answer of GET /candidates:progress or PUT /candidates."""
    return Progress(data["waiting"], data["room"])
