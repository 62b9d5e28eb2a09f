"""What every kind of model needs of encoding: a cost estimate of a request, and its payloads for the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.errors import FieldError
from models.features import FeatureRows
from models.text import TokenCounts
from service.batching.jobs import CostEstimate, NoResult, Operation
from service.observability.timings import Timings
from service.request import ItemStatus, ScoringRequest


@dataclass(frozen=True, slots=True)
class Readings:
    """How the texts of a request are read: the member's tokens, and those of each candidate that has a text, by place.

    `unknown_fields` are names that the model's template lacks, by place, and `faults` say why a candidate cannot become
    a text; both only of candidates that have such. `features` are the model's inputs, by place; None without any.
    """

    member: TokenCounts
    member_unknown_fields: Sequence[str]
    candidates: Mapping[int, TokenCounts]
    unknown_fields: Mapping[int, Sequence[str]]
    faults: Mapping[int, FieldError]
    features: FeatureRows | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Payloads of one operation: each with its length, and the places of the candidates that its result fills.

    A candidate of several chunks has as many rows, one after another.

    `settled` are the outcomes of all other candidates, by place. `ready_in_s`: the predicted seconds until the cold
    ones are encoded. `explained` are numbers of features: for each of them all payloads follow once more, with the
    default of this feature.
    """

    operation: Operation
    payloads: Sequence[object]
    lengths: Sequence[int]
    places: Sequence[list[int]]
    settled: Mapping[int, ItemStatus | NoResult]
    readings: Readings
    ready_in_s: float = 0.0
    explained: Sequence[int] = ()


class Inputs(Protocol):
    """How the requests of one model become payloads."""

    def estimate(self, request: ScoringRequest, now: float) -> CostEstimate:
        """Predict the cost of a request from its number of characters, before any text is read.

        A wrong estimate admits a little more or less; it never changes a score.
        """

    async def prepare(self, request: ScoringRequest, estimate: CostEstimate, timings: Timings) -> Prepared:
        """Read the texts and make the payloads. Raises DeadlinePassed, Invalid or EngineDead."""
