"""Writes the scores of a file of pairs: CSV, JSON lines or Parquet, in the order of the rows, whole or not at all.

member_id | candidate_id | every column that is no text of a side | score | status | head.NAME ...
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.bulk.model import finite, statuses
from models.bulk.pairs import SIDES
from models.errors import DataError
from models.heads import UNANSWERED
from models.tables.columns import contents, ids
from models.tables.table import FORMATS, PARQUET, Table

JSON_LINES = (".jsonl", ".ndjson")
TEXT_FORMATS = (".csv", ".tsv", *JSON_LINES)


def check_output(out: Path, table: Table, heads: Sequence[str]) -> None:
    """Raise DataError for an ending that is unknown, a file that exists, and a column that would be there twice."""
    if out.suffix.lower() not in (*TEXT_FORMATS, *PARQUET):
        raise DataError(f"{out} has an unknown ending {out.suffix!r}: name a file that ends in {FORMATS}")
    if out.exists():
        raise DataError(f"{out} exists: name another file, or delete it")
    ours = ["score", "status", *(f"head.{name}" for name in heads)]
    for name in ours:
        if name in table.columns:
            raise DataError(f"{table.name}: column {name!r} would be there twice: rename it with --map {name}=OTHER")


@dataclass(frozen=True, eq=False)
class Scores:
    """Probabilities f32[pairs, heads] and their blend f64[pairs], of a whole file."""

    rows: NDArray[np.float32]
    blend: NDArray[np.float64]
    heads: Sequence[str]


def write_scores(out: Path, folder: Path, parts: Iterable[Table], scores: Scores) -> None:
    """Write all rows of the file; `folder` takes what is not whole yet."""
    ending = out.suffix.lower()
    partial = folder / f"output{ending}"
    out.parent.mkdir(parents=True, exist_ok=True)
    if ending in PARQUET:
        pieces = []
        for number, table in enumerate(parts):
            pieces.append(folder / f"output-{number:06}.parquet")
            _frame(table, scores, nested=True).write_parquet(pieces[-1])
        pl.scan_parquet(pieces).sink_parquet(partial)
    else:
        with partial.open("wb") as file:
            for table in parts:
                if ending in JSON_LINES:
                    _write_lines(file, table, scores)
                else:
                    separator = "\t" if ending == ".tsv" else ","
                    frame = _frame(table, scores, nested=False)
                    frame.write_csv(file, include_header=not table.first, separator=separator)
    partial.replace(out)


def _frame(table: Table, scores: Scores, *, nested: bool) -> pl.DataFrame:
    """A part of the output; without `nested`, a list or a struct is JSON in a text."""
    columns = [pl.Series(name, values, pl.String) for name, values in _ids(table).items()]
    for name in _others(table):
        series = table.frame[name]
        if table.holds_json or (series.dtype.is_nested() and not nested):
            series = pl.Series(name, [_as_text(value) for value in table.values(name)], pl.String)
        columns.append(series)
    found = _scored(table, scores)
    columns += [
        pl.Series(name, values, pl.String if name == "status" else pl.Float64) for name, values in found.items()
    ]
    return pl.DataFrame(columns)


def _write_lines(file: BinaryIO, table: Table, scores: Scores) -> None:
    columns = {**_ids(table), **{name: list(table.values(name)) for name in _others(table)}, **_scored(table, scores)}
    for row in zip(*columns.values(), strict=True):
        line = json.dumps(dict(zip(columns, row, strict=True)), default=str, ensure_ascii=False)
        file.write(line.encode() + b"\n")


def _as_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _ids(table: Table) -> dict[str, list[str]]:
    """Ids of both sides: those of the file, or else of the contents."""
    found = {}
    for side in SIDES:
        column = f"{side}_id"
        found[column] = list(ids(table, column, None if column in table.columns else list(contents(table, side))))
    return found


def _others(table: Table) -> list[str]:
    """Names of the columns that are neither an id nor a text of a side."""
    return [
        name
        for name in table.columns
        if not any(name in (side, f"{side}_id") or name.startswith(f"{side}.") for side in SIDES)
    ]


def _scored(table: Table, scores: Scores) -> dict[str, list[Any]]:
    """Score, status and heads of a part; None where there is none."""
    span = slice(table.first, table.first + table.height)
    own = scores.rows[span]
    known = finite(own).astype(np.float64)
    known[known == UNANSWERED] = np.nan
    heads = {f"head.{name}": _values(known[:, at]) for at, name in enumerate(scores.heads)}
    return {"score": _values(scores.blend[span]), "status": [*statuses(own)], **heads}


def _values(numbers: NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(each) else each for each in numbers.tolist()]
