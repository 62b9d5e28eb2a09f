"""Scores in a file as a system, made by any program on any machine.

One Parquet file: list_id str | place i64 (of the candidate in its list, from 0) | overall f64 | DIMENSION f64 ...
Null: no answer. Lists that the file does not name have no score. `training.evaluation.systems` writes such files too.
A JSON file of the same name may say what the scores are: {"is_calibrated": false, "tokens_per_pair": 180.0,
"dollars_per_million_pairs": 18.0}, each of them optional.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from training.data.lists import FieldList
from training.data.tables import DataError, check_columns, empty, read_table
from training.evaluation.systems.interface import Cost, HeadScores, Kind, System
from training.files import read_json
from training.policy.policy import OVERALL

KEYS = ("list_id", "place")


@dataclass(frozen=True)
class Stated:
    """How a file of scores describes itself, in the JSON file beside it."""

    is_calibrated: bool = True
    tokens_per_pair: float | None = None
    dollars_per_million_pairs: float | None = None


def read_stated(path: Path) -> Stated:
    """Of the scores in `path`. Raises DataError for a file that says anything else."""
    beside = path.with_suffix(".json")
    if not beside.exists():
        return Stated()
    try:
        return Stated(**read_json(beside))
    except (ValueError, TypeError) as error:
        raise DataError(f"{beside}: must be an object with {', '.join(vars(Stated()))} at most") from error


def stored_system(path: Path, name: str, kind: Kind, *, seed: int = 0, is_calibrated: bool | None = None) -> System:
    """Raises DataError with file, row and column for a table that is not as above.

    `is_calibrated` None: as the JSON file beside says.
    """
    table, stated = read_table(path), read_stated(path)
    is_calibrated = stated.is_calibrated if is_calibrated is None else is_calibrated
    problems = {"list_id": empty("list_id"), "place": (pl.col("place").is_null(), "empty")}
    heads = [column for column in table.columns if column not in KEYS]
    if OVERALL not in heads:
        raise DataError(f"{path}: column {OVERALL!r} is missing")
    if is_calibrated:
        for head in heads:
            outside = pl.col(head).is_nan() | ~pl.col(head).is_between(0, 1)
            problems[head] = outside, "an expected grade / 4 must be a number from 0 to 1, or null"
    check_columns(table, problems, str(path))
    twice = table.with_row_index("row").filter(~pl.struct(KEYS).is_first_distinct())
    if twice.height:
        raise DataError(f"{path}: row {twice['row'][0]}, column 'place': this candidate has a score already")
    rows = {(row[0], row[1]): row[2:] for row in table.select(*KEYS, *heads).iter_rows()}

    def score(lists: Sequence[FieldList]) -> HeadScores:
        unknown = (None,) * len(heads)
        found = [rows.get((each.list_id, place), unknown) for each in lists for place in range(len(each.candidates))]
        columns = np.array(found, dtype=np.float64).reshape(-1, len(heads)).T
        return dict(zip(heads, columns, strict=True))

    cost = Cost(None, stated.tokens_per_pair, stated.dollars_per_million_pairs)
    return System(name, kind, score, seed, is_calibrated=is_calibrated, cost=cost)


def write_scores(path: Path, lists: Sequence[FieldList], scores: HeadScores) -> None:
    """A file that `stored_system` reads."""
    keys = [(each.list_id, place) for each in lists for place in range(len(each.candidates))]
    columns = {head: pl.Series(values, dtype=pl.Float64).fill_nan(None) for head, values in scores.items()}
    pl.DataFrame(keys, schema={"list_id": pl.String, "place": pl.Int64}, orient="row").with_columns(
        **columns
    ).write_parquet(path)
