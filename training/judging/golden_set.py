"""Step `golden`: human grades -> an adjudicated golden set, split by member, and the agreement of its raters.

    golden.parquet     member_id | candidate_id | member | candidate | split | dimension | grade | how | policy;
                       `policy` is the stamp of the dimension's section, or of the rule for overall grades
    disagreements.csv  member_id | candidate_id | dimension | gap | a column per rater. Input for the next policy edit;
                       ids and grades only; it stays in the run's folder.
    agreement.json     per dimension and two raters: pairs, members, exact, quadratic kappa with its interval

Knows raters and grades, not where they come from (`sources/`).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from models.template import Fields, Template
from training.data.lists import rendered, split_of
from training.data.tables import DataError, check_columns, empty, read_table
from training.files import write_json
from training.metrics.kappa import Agreement, agreement
from training.policy.markdown import table
from training.policy.policy import GRADES, OVERALL, Policy
from training.policy.stamps import check_stamps, section_stamps

PAIR = ("member_id", "candidate_id")
GRADED = (*PAIR, "dimension")


@dataclass(frozen=True)
class GradedPair:
    """A graded pair: its ids and its fields."""

    member_id: str
    candidate_id: str
    member: Fields
    candidate: Fields


@dataclass(frozen=True)
class HumanGrade:
    """One rater's grade of one pair in one dimension (or `overall`)."""

    member_id: str
    candidate_id: str
    dimension: str
    rater: str
    grade: int


@dataclass(frozen=True)
class HumanGrades:
    """A source's pairs, their grades, and their origin.

    If raters differ, the grade of the rater who comes first in `authority` wins. The `adjudicator` saw only pairs with
    different grades, so agreement with them is not measured. `about` says in a sentence what the raters were asked.
    """

    origin: str
    pairs: Sequence[GradedPair]
    grades: Sequence[HumanGrade]
    authority: tuple[str, ...]
    about: str
    adjudicator: str | None = None


NO_GRADES = HumanGrades("no source", (), (), ("none",), "No grade of people is among the sources.")
"""For a recipe that can run without: what a judge graded is no gold."""


@dataclass(frozen=True)
class RaterAgreement(Agreement):
    """Agreement of two raters in one dimension."""

    dimension: str
    first: str
    second: str


@dataclass(frozen=True)
class GoldenReport:
    """The content of `agreement.json`; `grades` counts each grade by dimension."""

    policy: str
    origin: str
    about: str
    pairs: int
    grades: dict[str, dict[str, int]]
    agreement: list[RaterAgreement]


def make_golden(human: HumanGrades, policy: Policy, template: Template, out: Path) -> None:
    """Check, adjudicate, split, measure, and write. Raises DataError with file, row and column.

    Without a grade of people (`NO_GRADES`) the golden set is empty, and says so.
    """
    pairs = _pair_table(human, template)
    grades = _grade_table(human, policy, pairs)
    golden = adjudicate(grades, human.authority).join(pairs, on=PAIR, how="left", maintain_order="left")
    split = pl.col("member_id").map_elements(split_of, return_dtype=pl.String).alias("split")
    stamp = pl.col("dimension").replace_strict(section_stamps(policy)).alias("policy")
    golden = golden.with_columns(split, stamp)
    golden.select(*PAIR, "member", "candidate", "split", "dimension", "grade", "how", "policy").write_parquet(
        out / "golden.parquet"
    )
    disagreements(grades, human.authority).write_csv(out / "disagreements.csv")
    found = GoldenReport(
        policy=policy.stamp,
        origin=human.origin,
        about=human.about,
        pairs=golden.select(PAIR).n_unique(),
        grades=_counts(golden),
        agreement=list(rater_agreements(grades, human.adjudicator)),
    )
    write_json(out / "agreement.json", dataclasses.asdict(found))
    (out / "report.md").write_text(_markdown(found, policy), encoding="utf-8")


def read_golden(path: Path, policy: Policy) -> pl.DataFrame:
    """The golden set. Raises DataError for a row that cannot be used, PolicyMismatch for grades of another policy."""
    golden = read_table(path)
    problems = {name: empty(name) for name in (*PAIR, "member", "candidate", "split", "dimension", "policy")}
    problems["grade"] = (~_one_of("grade", GRADES), f"outside the grades of {policy.label}, 0 to 4")
    if golden.height:
        check_columns(golden, problems, str(path))
    check_stamps(golden.select("dimension", "policy").iter_rows(), policy, str(path))
    return golden


def _pair_table(human: HumanGrades, template: Template) -> pl.DataFrame:
    rows = []
    for row, pair in enumerate(human.pairs):
        place = f"{human.origin}: pairs: row {row}"
        member = rendered(template.render_member, pair.member, f"{place}, the member")
        candidate = rendered(template.render_candidate, pair.candidate, f"{place}, the candidate")
        rows.append((pair.member_id, pair.candidate_id, member, candidate))
    pairs = pl.DataFrame(rows, schema=dict.fromkeys((*PAIR, "member", "candidate"), pl.String), orient="row")
    if human is not NO_GRADES:
        check_columns(pairs, {name: empty(name) for name in pairs.columns}, f"{human.origin}: pairs")
    twice = pairs.select(PAIR).is_duplicated()
    if twice.any():
        raise DataError(f"{human.origin}: pairs: row {twice.arg_max()}, column 'candidate_id': the pair appears twice")
    return pairs


def _grade_table(human: HumanGrades, policy: Policy, pairs: pl.DataFrame) -> pl.DataFrame:
    columns: dict[str, type[pl.DataType]] = {**dict.fromkeys((*GRADED, "rater"), pl.String), "grade": pl.Int64}
    rows = [dataclasses.astuple(grade) for grade in human.grades]
    graded = pl.DataFrame(rows, schema=columns, orient="row")
    dimensions = (*policy.dimension_names, OVERALL)
    known = pl.struct(PAIR).is_in(pairs.select(pl.struct(PAIR)).to_series().implode())
    problems = {
        "member_id": empty("member_id"),
        "candidate_id": (~known | pl.col("candidate_id").is_null(), "the pair is not among the graded pairs"),
        "dimension": (~_one_of("dimension", dimensions), f"{policy.label} has the dimensions {', '.join(dimensions)}"),
        "rater": (~_one_of("rater", human.authority), f"the raters are {', '.join(human.authority)}"),
        "grade": (~_one_of("grade", GRADES), f"outside the grades of {policy.label}, 0 to 4"),
    }
    if human is not NO_GRADES:
        check_columns(graded, problems, f"{human.origin}: grades")
    twice = graded.select(*GRADED, "rater").is_duplicated()
    if twice.any():
        raise DataError(f"{human.origin}: grades: row {twice.arg_max()}, column 'rater': graded this pair twice")
    return graded


def _one_of(column: str, values: Sequence[str] | Sequence[int]) -> pl.Expr:
    return pl.col(column).is_in(list(values)).fill_null(value=False)


def adjudicate(grades: pl.DataFrame, authority: Sequence[str]) -> pl.DataFrame:
    """One grade per pair and dimension, with how it was decided; never a mean of grades."""
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


def rater_agreements(grades: pl.DataFrame, adjudicator: str | None = None) -> Iterator[RaterAgreement]:
    """Every two raters on the pairs that both graded, dimension by dimension."""
    raters = grades if adjudicator is None else grades.filter(pl.col("rater") != adjudicator)
    for (dimension,), rows in raters.group_by(["dimension"], maintain_order=True):
        for first, second in itertools.combinations(rows["rater"].unique(maintain_order=True).to_list(), 2):
            both = rows.filter(pl.col("rater") == first).join(rows.filter(pl.col("rater") == second), on=PAIR)
            if both.height:
                found = agreement(both["grade"].to_list(), both["grade_right"].to_list(), both["member_id"].to_list())
                yield RaterAgreement(**vars(found), dimension=str(dimension), first=first, second=second)


def disagreements(grades: pl.DataFrame, authority: Sequence[str]) -> pl.DataFrame:
    """Pairs with different grades, the widest gap first, with a column per rater."""
    if not grades.height:
        return pl.DataFrame(schema=dict.fromkeys((*GRADED, "gap", *authority), pl.String))
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


def _markdown(report: GoldenReport, policy: Policy) -> str:
    counts = []
    for dimension, grades in report.grades.items():
        counts.append([dimension, *(str(grades.get(str(grade), 0)) for grade in GRADES)])
    lines = [
        f"# Golden set under {policy.label}\n",
        f"{report.pairs} pairs from {report.origin}.\n",
        f"{report.about}\n",
        table(["dimension", *map(str, GRADES)], counts),
        "## Agreement of the raters\n",
    ]
    if not report.agreement:
        lines.append("No pair was graded twice: agreement is not measured.")
    lines += [
        f"- {each.dimension}, {each.first} and {each.second}: quadratic kappa {each.kappa:.3f} over {each.pairs} pairs"
        f" of {each.members} members; {each.exact:.0%} the same grade"
        for each in report.agreement
    ]
    return "\n".join(lines) + "\n"
