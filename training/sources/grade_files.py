"""Human grades as a grading tool exports them: two Parquet files in one folder.

pairs.parquet    member_id str | candidate_id str | member.<field> str ... | candidate.<field> str ...
grades.parquet   member_id str | candidate_id str | dimension str | rater str | grade i64

And the table that a report asks people to fill in, with a row for each pair:

regrade.csv      member_id | candidate_id | member.<field> ... | candidate.<field> ... | grade.<dimension> ... | rater
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from models.tables.columns import contents, ids, whole_numbers, words
from models.tables.table import Table, read
from models.template import Content, Fields
from training.data.source_files import SourceFiles
from training.data.tables import DataError, check_columns, empty, read_table
from training.judging.golden_set import GradedPair, HumanGrade, HumanGrades
from training.policy.policy import GRADES, OVERALL

REGRADE = "regrade.csv"
PERSON = "regraded"
"""The rater of rows that name none. A person who regrades a pair has seen it last, so their grade goes first."""


def read_human_grades(
    folder: Path, *, authority: tuple[str, ...], about: str, adjudicator: str | None = None
) -> HumanGrades:
    """Read both files. Raises DataError with file, row and column."""
    pairs, grades = read_table(folder / "pairs.parquet"), read_table(folder / "grades.parquet")
    keys = ("member_id", "candidate_id")
    check_columns(pairs, {name: empty(name) for name in keys}, str(folder / "pairs.parquet"))
    if "model" in grades.columns:
        raise DataError(f"{folder / 'grades.parquet'}: column 'model': grades of a model are no golden grades")
    whole = pl.col("grade").cast(pl.Float64) % 1 == 0
    problems = {name: empty(name) for name in (*keys, "dimension", "rater")}
    problems["grade"] = (~whole.fill_null(value=False), "a grade must be a whole number")
    check_columns(grades, problems, str(folder / "grades.parquet"))
    return HumanGrades(
        origin=str(folder),
        pairs=[
            GradedPair(row["member_id"], row["candidate_id"], _fields(row, "member."), _fields(row, "candidate."))
            for row in pairs.iter_rows(named=True)
        ],
        grades=[
            HumanGrade(row["member_id"], row["candidate_id"], row["dimension"], row["rater"], int(row["grade"]))
            for row in grades.iter_rows(named=True)
        ],
        authority=authority,
        about=about,
        adjudicator=adjudicator,
    )


def _fields(row: dict[str, Any], prefix: str) -> Fields:
    """Values as they are: the template that renders them knows what has a text, and what is an error."""
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}


def with_regraded(known: HumanGrades, data: SourceFiles) -> HumanGrades:
    """`known` and the filled-in rows of `regrade.csv` among the sources, if it is there.

    A row without a grade is left out. Raises DataError with file, row and column.
    """
    rows = list(_regraded(read(data.path(REGRADE)))) if data.has(REGRADE) else []
    if not rows:
        return known
    pairs = {(each.member_id, each.candidate_id): each for each in known.pairs}
    for pair, _ in rows:
        pairs.setdefault((pair.member_id, pair.candidate_id), pair)
    grades = [grade for _, given in rows for grade in given]
    raters = tuple(dict.fromkeys((*(grade.rater for grade in grades), *known.authority)))
    origin, about = REGRADE, f"People graded pairs of a report in {REGRADE}."
    if known.pairs:
        origin, about = known.origin, f"{known.about} {about}"
    return HumanGrades(origin, list(pairs.values()), [*known.grades, *grades], raters, about, known.adjudicator)


def _regraded(table: Table) -> Iterator[tuple[GradedPair, list[HumanGrade]]]:
    """Each pair with a grade at least, and its grades."""
    scale = range(min(GRADES), max(GRADES) + 1)
    names = {name: OVERALL if name == "grade" else name.removeprefix("grade.") for name in table.columns}
    graded = {name: column for column, name in names.items() if column == "grade" or column.startswith("grade.")}
    given = zip(*(whole_numbers(table, column, scale, "grade") for column in graded.values()), strict=True)
    members, candidates = list(contents(table, "member")), list(contents(table, "candidate"))
    raters = words(table, "rater") if "rater" in table.columns else iter([""] * table.height)
    keys = zip(ids(table, "member_id", members), ids(table, "candidate_id", candidates), strict=True)
    for key, member, candidate, rater, values in zip(keys, members, candidates, raters, given, strict=True):
        known = {name: grade for name, grade in zip(graded, values, strict=True) if grade is not None}
        if known:
            grades = [HumanGrade(*key, name, rater or PERSON, grade) for name, grade in known.items()]
            yield GradedPair(*key, _content(member), _content(candidate)), grades


def _content(content: Content) -> Fields:
    return content if isinstance(content, Mapping) else {"text": content}
