"""JSON lines -> a frame whose cells hold JSON, so that 1, 1.0 and "1" stay apart as the service has them.

An object in a row becomes a column for each of its names: {"member": {"query": "lamp"}} is the column `member.query`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from models.errors import DataError
from models.tables.text_file import MAX_CELL, check_head, open_text


def read_json_lines(path: Path, line_column: str) -> pl.DataFrame:
    """One row for each object, and `line_column` with its line. Raises DataError."""
    check_head(path)
    columns: dict[str, list[str | None]] = {}
    lines: list[int] = []
    with open_text(path) as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            place = f"{path.name}: row {len(lines)} (line {line})"
            for name, value in _cells(text, place):
                columns.setdefault(name, [None] * len(lines)).append(value)
            lines.append(line)
            for cells in columns.values():
                if len(cells) < len(lines):
                    cells.append(None)
    schema = {line_column: pl.Int64, **dict.fromkeys(columns, pl.String)}
    return pl.DataFrame({line_column: lines, **columns}, schema=schema)


def _cells(text: str, place: str) -> Iterator[tuple[str, str | None]]:
    row = _object(text, place)
    for name, value in row.items():
        parts = {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
        for column, each in parts.items():
            if column in row and column != name:
                raise DataError(f"{place}, column {column!r}: is there twice, also within {name!r}: delete one")
            cell = None if each is None or each == "" else json.dumps(each)
            if cell is not None and len(cell) > MAX_CELL:
                raise DataError(f"{place}, column {column!r}: has over {MAX_CELL:,} characters: cut the text")
            yield column, cell


def _object(text: str, place: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        for at, name in enumerate(names):
            if name in names[:at]:
                raise DataError(f"{place}, column {name!r}: is there twice: delete one")
        return dict(pairs)

    def no_number(literal: str) -> float:
        raise DataError(f"{place}: {literal} is not a number of JSON: write null")

    try:
        row = json.loads(text, object_pairs_hook=unique, parse_constant=no_number)
    except json.JSONDecodeError as error:
        raise DataError(f"{place}, character {error.colno}: not JSON ({error.msg}): write one object a line") from None
    except (ValueError, RecursionError):
        raise DataError(f"{place}: a number has too many digits, or objects are nested too deep: shorten it") from None
    if not isinstance(row, dict):
        raise DataError(f'{place}: is not an object: write one object a line, {{"member": ..., "candidate": ...}}')
    return row
