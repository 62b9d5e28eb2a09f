"""The engagement log: lists as members saw them, with the position of each candidate and the members' actions.

A row is an impression: a pair of `training.data.lists` with its position, and a column per action.

    list_id | source | split | member | candidate    as in `training.data.lists`
    position  f64    from 1; no two candidates of a list share one
    shown     f64    how often the candidate was shown in this list; 1 where the column is missing or null
    <action>  f64    the share of those times that led to the action: 1 or 0 where it was shown once; null: unknown

Knows the schema, not where logs come from or what learns from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from training.data.lists import CandidateList, Split, candidate_lists, check_pairs
from training.data.tables import check_columns, read_table

POSITION, SHOWN = "position", "shown"
WHOLE = 1e-3
"""How far a share times the times shown may be from a whole number."""


def check_impressions(log: pl.DataFrame, actions: Sequence[str], origin: str) -> None:
    """Raise DataError for a position below 1 or used twice, and for an action that is no share of the times shown."""
    position = pl.col(POSITION)
    broken = position.is_null() | position.is_nan() | (position < 1) | (position != position.floor())
    problems = {POSITION: (broken, "a position must be a whole number from 1")}
    times = pl.col(SHOWN).fill_null(1.0) if SHOWN in log.columns else pl.lit(1.0)
    if SHOWN in log.columns:
        problems[SHOWN] = (times.is_nan() | (times < 1), "must be a count from 1, or null")
    for action in actions:
        done = pl.col(action) * times
        is_count = (done - done.round()).abs() < WHOLE
        problems[action] = (
            ~(is_count & pl.col(action).is_between(0, 1)),
            ("an action must be 0 or 1, or null; shown more than once, a count over the times shown"),
        )
    check_columns(log, problems, origin)
    check_pairs(log, actions, origin)
    taken = pl.struct("list_id", POSITION).is_duplicated()
    check_columns(log, {POSITION: (taken, "another candidate of the list has the same position")}, origin)


def read_impressions(path: Path, actions: Sequence[str], split: Split) -> list[CandidateList]:
    """Lists of one split; their labels are the actions, `position` and `shown`. Raises DataError for a bad row.

    Empty without actions: a recipe without an engagement teacher has an empty log.
    """
    if not actions:
        return []
    log = read_table(path)
    check_impressions(log, actions, str(path))
    shown = pl.col(SHOWN).fill_null(1.0) if SHOWN in log.columns else pl.lit(1.0).alias(SHOWN)
    log = log.filter(pl.col("split") == split).with_columns(shown)
    return list(candidate_lists(log, (*actions, POSITION, SHOWN)))
