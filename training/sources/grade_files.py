"""Human grades as a grading tool exports them: two Parquet files in one folder.

pairs.parquet    member_id str | candidate_id str | member.<field> str ... | candidate.<field> str ...
grades.parquet   member_id str | candidate_id str | dimension str | rater str | grade i64
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from models.template import Fields
from training.data.tables import DataError, check_columns, empty, read_table
from training.judging.golden_set import GradedPair, HumanGrade, HumanGrades


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
