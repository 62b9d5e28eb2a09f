"""Reads Parquet with errors that name file, row and column. Knows no particular table.

Rows count from 0, as in the file.
"""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path

import polars as pl

from models.errors import DataError

READ_ERRORS = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)


def read_table(path: Path) -> pl.DataFrame:
    """Read a whole file. Raises DataError with the first row and column that cannot be read."""
    try:
        return pl.read_parquet(path)
    except READ_ERRORS as error:
        raise DataError(first_unreadable(path, type(error).__name__)) from error


def short_decimals(table: pl.DataFrame) -> pl.DataFrame:
    """The table with f32 columns as f64, each the decimal that the f32 is written as: 0.1, not 0.10000000149011612.

    JSON writers, and so the callers of the service, send the short one.
    """
    return table.with_columns(pl.col(pl.Float32).cast(pl.String).cast(pl.Float64))


def first_unreadable(path: Path, kind: str) -> str:
    """A sentence on the first row and column that cannot be read; `kind` is the name of the error."""
    try:
        schema, rows = pl.read_parquet_schema(path), pl.scan_parquet(path).select(pl.len()).collect().item()
    except READ_ERRORS:
        return f"{path}: not a readable Parquet file ({kind})"
    for column in schema:
        if (row := _first_bad_row(path, column, rows)) < rows:
            return f"{path}: row {row}, column {column!r}: cannot be read ({kind})"
    return f"{path}: not a readable Parquet file ({kind})"


def _first_bad_row(path: Path, column: str, rows: int) -> int:
    """The row after the longest readable start of the column; polars does not say where it failed."""
    return bisect_left(range(rows), True, key=lambda row: not _reads(path, column, row + 1))


def _reads(path: Path, column: str, rows: int) -> bool:
    try:
        pl.read_parquet(path, columns=[column], n_rows=rows)
    except READ_ERRORS:
        return False
    return True
