"""The evaluation report as values, and as the JSON of `report.json` and of the parts that other steps write."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter

from training.files import read_json
from training.judging.judge_report import JudgeReport
from training.metrics.bootstrap import Interval
from training.metrics.calibration import Bin

Part = TypeVar("Part")


@dataclass(frozen=True)
class SourceReport:
    """One head on one source: intervals by system and metric, the shipped student's lead in NDCG@10, calibration.

    `read` has the lists that each system scored, and `compared` those of each lead.
    """

    lists: int
    read: dict[str, int]
    compared: dict[str, int]
    systems: dict[str, dict[str, Interval]]
    student_minus: dict[str, Interval]
    calibration_error: float
    brier_skill: float
    reliability: list[Bin]
    pairs: dict[str, int] = field(default_factory=dict)
    """Of a log of counts: how many pairs of candidates each figure of their order has."""


@dataclass(frozen=True)
class SliceReport:
    """One slice of the lists: NDCG@10 by system."""

    lists: int
    systems: dict[str, Interval]


@dataclass(frozen=True)
class HeadReport:
    """One head: by source, and by kind and name of slice."""

    sources: dict[str, SourceReport]
    slices: dict[str, dict[str, SliceReport]]


@dataclass(frozen=True)
class GroupReport:
    """One group of a swap: two rates, each also as a ratio to the highest group's; mean difference of scores."""

    scoring_rate: float
    scoring_ratio: float
    selected: float
    selection_ratio: float
    difference: Interval
    other_first_choice: float


@dataclass(frozen=True)
class SwapReport:
    """A fairness audit by one swap; `compared_with` is the group that differences refer to."""

    compared_with: str
    groups: dict[str, GroupReport]
    lowest_ratio: float
    passes: bool


@dataclass(frozen=True)
class Quality:
    """Ranking quality on one source, and minus a reference; `top1` is the share of lists with the same first choice."""

    lists: int
    ndcg: Annotated[Interval, Field(alias="ndcg@10")]
    minus_reference: Interval
    top1: Interval


@dataclass(frozen=True)
class ShapePoint:
    """A shape of the architecture sweep: its throughput, bytes of a kept candidate, and quality by source."""

    name: str
    pairs_per_second: float
    slot_bytes: int
    sources: dict[str, Quality]


@dataclass(frozen=True)
class Variant:
    """A compressed student: feed-forward units of a layer, bytes of its graphs, items per second by kind, quality."""

    name: str
    units: int
    size: int
    pace: dict[str, float]
    sources: dict[str, Quality]


@dataclass(frozen=True)
class LossWeightPoint:
    """A student of the loss-weight sweep: share of engagement in its loss, NDCG@10 of relevance, AUC of engagement."""

    weight: float
    relevance: Interval
    engagement: Interval
    chosen: bool


@dataclass(frozen=True)
class LossWeightSweep:
    """The sweep of one pair of heads, by name."""

    relevance: str
    engagement: str
    points: list[LossWeightPoint]


@dataclass(frozen=True)
class Ablation:
    """A student trained without one part of distillation, minus the student with all parts, by metric."""

    without: str
    minus_whole: dict[str, Interval]


@dataclass(frozen=True)
class Decision:
    """The new student minus the live one in NDCG@10 over the same lists, and whether the new one may replace it."""

    live: str
    difference: Interval
    promoted: bool
    sentence: str


@dataclass(frozen=True)
class Report:
    """All parts. `shipped` names the student that ships; a part that was not run is None or empty.

    `graded`: whether people graded any head. Otherwise nothing here says what fits by the policy.
    """

    shipped: str
    heads: dict[str, HeadReport]
    judge: JudgeReport
    fairness: dict[str, SwapReport] | None
    frontier: list[ShapePoint]
    variants: list[Variant]
    shares: LossWeightSweep | None
    ablation: list[Ablation]
    promotion: Decision | None
    graded: bool = True


def to_json(kind: type[Part], part: Part) -> Any:  # noqa: ANN401  JSON holds anything
    """A report, or a part of one, as JSON values."""
    return TypeAdapter(kind).dump_python(part, by_alias=True)


def read_part(kind: type[Part], path: Path) -> Part:
    """Read back a part that a step wrote with `to_json`."""
    return TypeAdapter(kind).validate_python(read_json(path))
