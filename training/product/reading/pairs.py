"""The table of pairs: graded pairs as people or a judge gave them.

member_id | member or member.FIELD ... | candidate_id | candidate or candidate.FIELD ...
grade 0..4 | grade.DIMENSION 0..4 ... | rater | split train, valid or test | feature.NAME a number ...
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from models.tables.columns import contents, has_side, ids, need, whole_numbers, words
from models.tables.table import Table
from models.template import Content
from training.data.features import PREFIX
from training.data.lists import SPLITS, Split
from training.policy.policy import GRADES, OVERALL
from training.product.reading.features import read_features

RATER = "rater"
GRADE_PREFIX = "grade."
PAIR_COLUMNS = ("member_id", "candidate_id", "member", "candidate", "grade", "rater", "split")
PAIR_PREFIXES = ("member.", "candidate.", GRADE_PREFIX, PREFIX)


@dataclass(frozen=True)
class GradedRow:
    """One row: a pair, its grades by dimension (OVERALL for `grade`), the rater, the split that the file states, and
    the candidate's features by name.
    """

    row: int
    member_id: str
    candidate_id: str
    member: Content
    candidate: Content
    grades: dict[str, int]
    rater: str
    split: Split | None
    features: dict[str, float] = field(default_factory=dict)


def read_graded(table: Table) -> Iterator[GradedRow]:
    """All rows. Raises DataError with file, row and column."""
    for side in ("member", "candidate"):
        need(table, has_side(table, side), f"there is no column {side!r} and no {side}.FIELD", side)
    dimensions = graded_dimensions(table)
    need(table, bool(dimensions), "there is no column 'grade' and no grade.DIMENSION", "grade")
    members, candidates = list(contents(table, "member")), list(contents(table, "candidate"))
    allowed = range(min(GRADES), max(GRADES) + 1)
    grades = [whole_numbers(table, column, allowed, "grade") for column in dimensions.values()]
    raters = words(table, "rater") if "rater" in table.columns else iter([""] * table.height)
    rows = zip(
        ids(table, "member_id", members),
        ids(table, "candidate_id", candidates),
        members,
        candidates,
        zip(*grades, strict=True),
        raters,
        splits(table),
        read_features(table),
        strict=True,
    )
    for row, (member_id, candidate_id, member, candidate, given, rater, split, features) in enumerate(rows):
        known = {name: grade for name, grade in zip(dimensions, given, strict=True) if grade is not None}
        if not known:
            raise table.error(
                row, next(iter(dimensions.values())), "the pair has no grade: give one, or delete the row"
            )
        yield GradedRow(row, member_id, candidate_id, member, candidate, known, rater or RATER, split, features)


def graded_dimensions(table: Table) -> dict[str, str]:
    """The column of each dimension that the file grades, OVERALL first."""
    found = {OVERALL: "grade"} if "grade" in table.columns else {}
    return found | {name.removeprefix(GRADE_PREFIX): name for name in table.columns if name.startswith(GRADE_PREFIX)}


def splits(table: Table) -> Iterator[Split | None]:
    """The split that each row states; None where there is no column `split`. Raises DataError for another word."""
    if "split" not in table.columns:
        yield from [None] * table.height
        return
    for row, word in enumerate(words(table, "split", SPLITS)):
        if not word:
            raise table.error(row, "split", "is empty: write train, valid or test in each row, or drop the column")
        yield next(split for split in SPLITS if split == word)
