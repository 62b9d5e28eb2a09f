"""Checks the columns of a table that a step has read. Knows no particular table."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from models.errors import DataError as DataError
from models.tables.parquet_file import READ_ERRORS as READ_ERRORS
from models.tables.parquet_file import read_table as read_table
from models.tables.parquet_file import short_decimals as short_decimals


def check_columns(table: pl.DataFrame, problems: Mapping[str, tuple[pl.Expr, str]], origin: str) -> None:
    """Raise DataError for the first unusable row: `problems[column]` selects such rows, and has the words for them.

    A missing column and a table without rows raise too.
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
    """The problem of a missing or blank text."""
    return pl.col(column).is_null() | (pl.col(column).str.strip_chars() == ""), "empty"
