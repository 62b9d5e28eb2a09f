"""CSV -> a frame of texts, or one sentence with row, line and column. Strict: what is doubtful is refused.

An empty cell is null. The standard library parses, in one pass with bounded memory; polars holds the columns.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import polars as pl

from models.errors import DataError
from models.tables.text_file import MAX_CELL, check_head, open_text

CHUNK = 50_000
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}


def read_csv(path: Path, separator: str, line_column: str) -> pl.DataFrame:
    """All columns as texts, and `line_column` with the line that each row begins on. Raises DataError."""
    check_head(path)
    csv.field_size_limit(MAX_CELL)
    with open_text(path) as file:
        rows = _rows(path.name, file, separator)
        _, header = next(rows, (1, []))
        names = _checked_header(path.name, header, separator)
        schema = {line_column: pl.Int64, **dict.fromkeys(names, pl.String)}
        chunks = [pl.DataFrame(schema=schema)]
        waiting: list[tuple[object, ...]] = []
        for number, (line, cells) in enumerate(rows):
            if len(cells) != len(names):
                raise _ragged(path.name, number, line, names, cells)
            waiting.append((line, *(cell or None for cell in cells)))
            if len(waiting) == CHUNK:
                chunks.append(pl.DataFrame(waiting, schema=schema, orient="row"))
                waiting = []
        chunks.append(pl.DataFrame(waiting, schema=schema, orient="row"))
    return _without_nul(path.name, pl.concat(chunks), line_column)


def _rows(name: str, file: TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The line that each row begins on, and its cells; blank lines are passed over."""
    reader = csv.reader(file, delimiter=separator, strict=True)
    number = -1
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            place = f"{name}: row {number} (line {line})" if number >= 0 else f"{name}: the header (line {line})"
            raise DataError(f"{place}: {_advice(str(error))}") from None
        if cells:
            number += 1
            yield line, cells


def _advice(problem: str) -> str:
    if "field larger" in problem:
        return f"a cell has over {MAX_CELL:,} characters: cut the text, or close the quotes that begin in this row"
    if "unexpected end" in problem:
        return "quotes that begin in this row are never closed: close them, and double quotes within a cell"
    if "expected after" in problem:
        return 'a character follows closing quotes: write quotes within a quoted cell twice ("")'
    return f"{problem}: export the file again as CSV"


def _checked_header(name: str, header: list[str], separator: str) -> list[str]:
    names = [each.strip() for each in header]
    if not names:
        raise DataError(f"{name} is empty: check how the file was written")
    if len(names) == 1:
        for other, words in SEPARATORS.items():
            if other != separator and other in names[0]:
                ending = ", or name it .tsv" if other == "\t" else ""
                raise DataError(
                    f"{name}: the header (line 1): the columns are separated by {words}: save the file with"
                    f" {SEPARATORS[separator]}{ending}"
                )
    for place, each in enumerate(names):
        if not each:
            raise DataError(f"{name}: the header (line 1): column {place + 1} of {len(names)} has no name: give it one")
        if each in names[:place]:
            raise DataError(f"{name}: the header (line 1): column {each!r} is there twice: rename or delete one")
    return names


def _ragged(name: str, number: int, line: int, names: list[str], cells: list[str]) -> DataError:
    place = f"{name}: row {number} (line {line})"
    if len(cells) > len(names):
        return DataError(
            f"{place}, column {names[-1]!r}: {len(cells) - len(names)} more cells follow than the header has columns:"
            ' put cells with a separator in quotes ("a, b")'
        )
    return DataError(
        f"{place}, column {names[len(cells)]!r}: the row ends before this column: it has {len(cells)} cells and the"
        f" header {len(names)} columns"
    )


def _without_nul(name: str, frame: pl.DataFrame, line_column: str) -> pl.DataFrame:
    for column in frame.columns:
        if column == line_column:
            continue
        bad = frame[column].str.contains("\0", literal=True).fill_null(value=False)
        if bad.any():
            row = int(bad.arg_max() or 0)
            place = f"{name}: row {row} (line {frame[line_column][row]}), column {column!r}"
            raise DataError(f"{place}: holds a NUL byte: remove it, or save the file as UTF-8")
    return frame
