"""Step `golden`: human grades -> an adjudicated golden set, split by member, and how far its graders agree.

    golden.parquet     member_id | candidate_id | member | candidate | split | dimension | grade | how | policy
    disagreements.csv  member_id | candidate_id | dimension | gap | a column for each rater. The next policy edit is
                       made from it. Ids and grades only; it stays in the run's folder.
    agreement.json     per dimension and two raters: pairs, members, exact, quadratic kappa with its interval

This file knows graders and grades, not where they come from (`sources/`).
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from models.template import Fields, Template
from training.data.lists import split_of
from training.data.tables import DataError, check_columns, empty, read_table
from training.metrics.kappa import Agreement, agreement
from training.policy.policy import GRADES, OVERALL, Policy, check_stamps

PAIR = ("member_id", "candidate_id")
GRADED = (*PAIR, "dimension")


@dataclass(frozen=True)
class GradedPair:
    """A pair that somebody graded, by its ids and its fields."""

    member_id: str
    candidate_id: str
    member: Fields
    candidate: Fields


@dataclass(frozen=True)
class HumanGrade:
    """What one rater said of one pair in one dimension (or of the whole: `overall`)."""

    member_id: str
    candidate_id: str
    dimension: str
    rater: str
    grade: int


@dataclass(frozen=True)
class HumanGrades:
    """What an adapter gives: pairs, their grades, and where they came from.

    Where raters differ, the grade of the rater who comes first in `authority` stands. The `adjudicator` saw only what
    others differ about, so agreement with them would say nothing and is not measured. `about` says in a sentence what
    the raters were asked, so that nobody reads more into their agreement.
    """

    origin: str
    pairs: Sequence[GradedPair]
    grades: Sequence[HumanGrade]
    authority: tuple[str, ...]
    about: str
    adjudicator: str | None = None


def make_golden(human: HumanGrades, policy: Policy, template: Template, out: Path) -> None:
    """Check, adjudicate, split, measure, and write. Raises DataError naming file, row and column."""
    pairs = _pair_table(human, template)
    grades = _grade_table(human, policy, pairs)
    golden = adjudicate(grades, human.authority).join(pairs, on=PAIR, how="left", maintain_order="left")
    split = pl.col("member_id").map_elements(split_of, return_dtype=pl.String).alias("split")
    golden = golden.with_columns(split, pl.lit(policy.stamp).alias("policy"))
    golden.select(*PAIR, "member", "candidate", "split", "dimension", "grade", "how", "policy").write_parquet(
        out / "golden.parquet"
    )
    disagreements(grades, human.authority).write_csv(out / "disagreements.csv")
    report = {
        "policy": policy.stamp,
        "origin": human.origin,
        "about": human.about,
        "pairs": golden.select(PAIR).n_unique(),
        "grades": _counts(golden),
        "agreement": [
            {**names, **dataclasses.asdict(found)} for names, found in rater_agreements(grades, human.adjudicator)
        ],
    }
    (out / "agreement.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (out / "report.md").write_text(_markdown(report, policy), encoding="utf-8")


def read_golden(path: Path, policy: Policy) -> pl.DataFrame:
    """The golden set. Raises DataError for a row that cannot be used, PolicyMismatch for grades of another policy."""
    golden = read_table(path)
    problems = {name: empty(name) for name in (*PAIR, "member", "candidate", "split", "dimension", "policy")}
    problems["grade"] = (~_one_of("grade", GRADES), f"outside the grades of {policy.label}, 0 to 4")
    check_columns(golden, problems, str(path))
    check_stamps(golden["policy"], policy, str(path))
    return golden


def _pair_table(human: HumanGrades, template: Template) -> pl.DataFrame:
    rows = [
        (p.member_id, p.candidate_id, template.render_member(p.member), template.render_candidate(p.candidate))
        for p in human.pairs
    ]
    table = pl.DataFrame(rows, schema=dict.fromkeys((*PAIR, "member", "candidate"), pl.String), orient="row")
    check_columns(table, {name: empty(name) for name in table.columns}, f"{human.origin}: pairs")
    twice = table.select(PAIR).is_duplicated()
    if twice.any():
        raise DataError(f"{human.origin}: pairs: row {twice.arg_max()}, column 'candidate_id': the pair stands twice")
    return table


def _grade_table(human: HumanGrades, policy: Policy, pairs: pl.DataFrame) -> pl.DataFrame:
    columns: dict[str, type[pl.DataType]] = {**dict.fromkeys((*GRADED, "rater"), pl.String), "grade": pl.Int64}
    rows = [dataclasses.astuple(grade) for grade in human.grades]
    table = pl.DataFrame(rows, schema=columns, orient="row")
    dimensions = (*policy.dimension_names, OVERALL)
    known = pl.struct(PAIR).is_in(pairs.select(pl.struct(PAIR)).to_series().implode())
    problems = {
        "member_id": empty("member_id"),
        "candidate_id": (~known | pl.col("candidate_id").is_null(), "the pair is not among the pairs that were graded"),
        "dimension": (~_one_of("dimension", dimensions), f"{policy.label} has the dimensions {', '.join(dimensions)}"),
        "rater": (~_one_of("rater", human.authority), f"the raters are {', '.join(human.authority)}"),
        "grade": (~_one_of("grade", GRADES), f"outside the grades of {policy.label}, 0 to 4"),
    }
    check_columns(table, problems, f"{human.origin}: grades")
    twice = table.select(*GRADED, "rater").is_duplicated()
    if twice.any():
        raise DataError(f"{human.origin}: grades: row {twice.arg_max()}, column 'rater': graded this pair twice")
    return table


def _one_of(column: str, values: Sequence[str] | Sequence[int]) -> pl.Expr:
    return pl.col(column).is_in(list(values)).fill_null(value=False)


def adjudicate(grades: pl.DataFrame, authority: Sequence[str]) -> pl.DataFrame:
    """One grade for each pair and dimension, with how it came about; never a mean of grades."""
    rank = pl.col("rater").replace_strict({name: place for place, name in enumerate(authority)})
    first = (
        grades.sort(rank, maintain_order=True)
        .group_by(GRADED, maintain_order=True)
        .agg(
            pl.col("grade").first(),
            pl.col("rater").first(),
            pl.len().alias("raters"),
            pl.col("grade").n_unique().alias("different"),
        )
    )
    decided = pl.concat_str(pl.lit("decided by "), pl.col("rater"))
    how = pl.when(pl.col("raters") == 1).then(pl.lit("one rater"))
    how_column = how.when(pl.col("different") == 1).then(pl.lit("agreed")).otherwise(decided).alias("how")
    return first.with_columns(how_column).select(*GRADED, "grade", "how").sort(GRADED)


def rater_agreements(
    grades: pl.DataFrame, adjudicator: str | None = None
) -> Iterator[tuple[dict[str, str], Agreement]]:
    """Every two raters on the pairs that both graded, a dimension at a time."""
    raters = grades if adjudicator is None else grades.filter(pl.col("rater") != adjudicator)
    for (dimension,), rows in raters.group_by(["dimension"], maintain_order=True):
        for first, second in itertools.combinations(rows["rater"].unique(maintain_order=True).to_list(), 2):
            both = rows.filter(pl.col("rater") == first).join(rows.filter(pl.col("rater") == second), on=PAIR)
            if both.height:
                found = agreement(both["grade"].to_list(), both["grade_right"].to_list(), both["member_id"].to_list())
                yield {"dimension": str(dimension), "first": first, "second": second}, found


def disagreements(grades: pl.DataFrame, authority: Sequence[str]) -> pl.DataFrame:
    """Pairs that raters graded differently, the widest gap first, with each rater's grade in a column."""
    wide = grades.pivot("rater", index=list(GRADED), values="grade")
    raters = [name for name in authority if name in wide.columns]
    gap = (pl.max_horizontal(raters) - pl.min_horizontal(raters)).alias("gap")
    differing = wide.with_columns(gap).filter(pl.col("gap") > 0)
    return differing.sort("gap", *GRADED, descending=[True, False, False, False]).select(*GRADED, "gap", *raters)


def _counts(golden: pl.DataFrame) -> dict[str, dict[str, int]]:
    counted: dict[str, dict[str, int]] = {}
    for dimension, grade, count in golden.group_by("dimension", "grade").len().sort("dimension", "grade").iter_rows():
        counted.setdefault(dimension, {})[str(grade)] = count
    return counted


def _markdown(report: dict[str, Any], policy: Policy) -> str:
    lines = [f"# Golden set under {policy.label}\n", f"{report['pairs']} pairs from {report['origin']}.\n"]
    lines += [f"{report['about']}\n", "| dimension | " + " | ".join(str(grade) for grade in GRADES) + " |"]
    lines.append("|---" * (len(GRADES) + 1) + "|")
    for dimension, counts in report["grades"].items():
        lines.append(f"| {dimension} | " + " | ".join(str(counts.get(str(grade), 0)) for grade in GRADES) + " |")
    lines.append("\n## Agreement of the raters\n")
    if not report["agreement"]:
        lines.append("Nobody graded a pair that somebody else graded too: agreement is not measured.")
    for each in report["agreement"]:
        kappa = each["kappa"]
        lines.append(
            f"- {each['dimension']}, {each['first']} and {each['second']}: quadratic kappa {kappa['mean']:.3f}"
            f" [{kappa['low']:.3f}, {kappa['high']:.3f}] over {each['pairs']} pairs of {each['members']} members;"
            f" {each['exact']:.0%} the same grade"
        )
    return "\n".join(lines) + "\n"
