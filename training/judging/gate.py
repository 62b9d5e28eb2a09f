"""The gate of labels: which dimensions agree well enough to be used, and the disagreements for the next policy edit.

A dimension is held to people where a golden set has grades of it, else to a second opinion of the same model family,
under a stricter threshold: two runs of one family share their mistakes. Without either it is not measured and not used.
The test is the lower end of the kappa's interval, so that few pairs do not pass by luck.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from training.judging.golden_set import GRADED
from training.metrics.kappa import Agreement, agreement
from training.policy.policy import OVERALL, Policy

By = Literal["people", "a second opinion (one model family)", "nothing"]


@dataclass(frozen=True)
class Thresholds:
    """The least lower end of kappa's 95 % interval. The policies do not use a dimension below 0.4 against people."""

    people: float = 0.4
    second_opinion: float = 0.8


@dataclass(frozen=True)
class Gate:
    """Whether the labels of a dimension may be used, by which agreement, and against which threshold."""

    dimension: str
    by: By
    found: Agreement | None
    threshold: float | None
    passed: bool


def gates(
    policy: Policy, own: pl.DataFrame, gold: pl.DataFrame, second: pl.DataFrame, thresholds: Thresholds
) -> list[Gate]:
    """One gate a dimension and one for the overall grade.

    The tables have member_id, candidate_id, dimension and grade; `own` holds the judge's grades of all pairs.
    """
    found = []
    for name in (*policy.dimension_names, OVERALL):
        with_people, with_second = (_agreement(own, other, name) for other in (gold, second))
        if with_people:
            found.append(_gate(name, "people", with_people, thresholds.people))
        elif with_second:
            by: By = "a second opinion (one model family)"
            found.append(_gate(name, by, with_second, thresholds.second_opinion))
        else:
            found.append(Gate(name, "nothing", None, None, passed=False))
    return found


def _gate(name: str, by: By, found: Agreement, threshold: float) -> Gate:
    return Gate(name, by, found, threshold, passed=found.kappa.low >= threshold)


def _agreement(own: pl.DataFrame, other: pl.DataFrame, dimension: str) -> Agreement | None:
    rows = _both(own, other).filter(pl.col("dimension") == dimension)
    if not rows.height:
        return None
    return agreement(rows["grade"].to_list(), rows["grade_other"].to_list(), rows["member_id"].to_list())


def _both(own: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    return own.drop_nulls("grade").join(other.drop_nulls("grade"), on=list(GRADED), suffix="_other")


def disagreements(own: pl.DataFrame, others: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Pairs with two different grades, the widest gap first, with both reasons where they are known."""
    parts = [_differing(own, other).with_columns(pl.lit(name).alias("other")) for name, other in others.items()]
    columns = (*GRADED, "other", "gap", "judge_grade", "other_grade", "judge_reason", "other_reason")
    return pl.concat(parts).sort("gap", "other", *GRADED, descending=[True, *[False] * 4]).select(columns)


def _differing(own: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    reasons = other if "reason" in other.columns else other.with_columns(pl.lit("").alias("reason"))
    rows = _both(own.select(*GRADED, "grade", "reason"), reasons.select(*GRADED, "grade", "reason"))
    return rows.select(
        *GRADED,
        (pl.col("grade").cast(pl.Int64) - pl.col("grade_other").cast(pl.Int64)).abs().alias("gap"),
        pl.col("grade").cast(pl.Int64).alias("judge_grade"),
        pl.col("grade_other").cast(pl.Int64).alias("other_grade"),
        pl.col("reason").alias("judge_reason"),
        pl.col("reason_other").alias("other_reason"),
    ).filter(pl.col("gap") > 0)
