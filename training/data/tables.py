"""Reading Parquet so that what is wrong is told with file, row and column. Knows no particular table.

Rows count from 0, as in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from training.errors import UserError

READ_ERRORS = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)


class DataError(UserError):
    """A row that cannot be used; the sentence names file, row and column."""


def read_table(path: Path) -> pl.DataFrame:
    """The whole file. Raises DataError naming the first row and column that cannot be read."""
    try:
        return pl.read_parquet(path)
    except READ_ERRORS as error:
        raise DataError(_first_unreadable(path, type(error).__name__)) from error


def _first_unreadable(path: Path, kind: str) -> str:
    try:
        schema, rows = pl.read_parquet_schema(path), pl.scan_parquet(path).select(pl.len()).collect().item()
    except READ_ERRORS:
        return f"{path}: not a readable Parquet file ({kind})"
    for column in schema:
        if not _reads(path, column, rows):
            # The most rows from the start that can be read: the one after them is broken.
            good, bad = 0, rows
            while bad - good > 1:
                middle = (good + bad) // 2
                good, bad = (middle, bad) if _reads(path, column, middle) else (good, middle)
            return f"{path}: row {good}, column {column!r}: cannot be read ({kind})"
    return f"{path}: not a readable Parquet file ({kind})"


def _reads(path: Path, column: str, rows: int) -> bool:
    try:
        pl.read_parquet(path, columns=[column], n_rows=rows)
    except READ_ERRORS:
        return False
    return True


def check_columns(table: pl.DataFrame, problems: Mapping[str, tuple[pl.Expr, str]], origin: str) -> None:
    """`problems[column]` is what makes a row unusable, and the words for it. Raises DataError with the first such row.

    A column that is missing, and a table without rows, are problems too.
    """
    for name in problems:
        if name not in table.columns:
            raise DataError(f"{origin}: column {name!r} is missing")
    if not table.height:
        raise DataError(f"{origin}: there are no rows")
    for name, (is_bad, words) in problems.items():
        bad = table.with_row_index("row").filter(is_bad)
        if bad.height:
            raise DataError(f"{origin}: row {bad['row'][0]}, column {name!r}: {words}")


def empty(column: str) -> tuple[pl.Expr, str]:
    """The problem of a text that is missing or blank."""
    return pl.col(column).is_null() | (pl.col(column).str.strip_chars() == ""), "empty"
