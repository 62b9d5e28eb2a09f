"""The engagement log: lists as members saw them, with the position of each candidate and the members' actions.

A row is an impression: a pair of `training.data.lists` with its position, and a column per action.

    list_id | source | split | member | candidate    as in `training.data.lists`
    position  f64    from 1; no two candidates of a list share one
    <action>  f64    1: the member did it, 0: did not, null: unknown

Knows the schema, not where logs come from or what learns from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from training.data.lists import CandidateList, Split, candidate_lists, check_pairs
from training.data.tables import check_columns, read_table

POSITION = "position"


def check_impressions(log: pl.DataFrame, actions: Sequence[str], origin: str) -> None:
    """Raise DataError for a position below 1 or used twice, and for an action other than 0 or 1."""
    position = pl.col(POSITION)
    broken = position.is_null() | position.is_nan() | (position < 1) | (position != position.floor())
    problems = {POSITION: (broken, "a position must be a whole number from 1")}
    for action in actions:
        problems[action] = (pl.col(action) != 0) & (pl.col(action) != 1), "an action must be 0 or 1, or null"
    check_columns(log, problems, origin)
    check_pairs(log, actions, origin)
    taken = pl.struct("list_id", POSITION).is_duplicated()
    check_columns(log, {POSITION: (taken, "another candidate of the list has the same position")}, origin)


def read_impressions(path: Path, actions: Sequence[str], split: Split) -> list[CandidateList]:
    """Lists of one split; their labels are the actions and `position`. Raises DataError with file, row and column.

    Empty without actions: a recipe without an engagement teacher has an empty log.
    """
    if not actions:
        return []
    log = read_table(path)
    check_impressions(log, actions, str(path))
    return list(candidate_lists(log.filter(pl.col("split") == split), (*actions, POSITION)))
