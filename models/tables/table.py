"""A table of CSV, JSON lines or Parquet as one type. Knows formats and how they break, no column of ours.

Every fault is a DataError that names file, row and column, and says what to do. Rows count from 0, without the header;
a text file's error names the line too, from 1. CSV cells are texts: nothing guesses a type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from models.errors import DataError
from models.tables.csv_file import read_csv
from models.tables.json_lines import read_json_lines
from models.tables.parquet_file import READ_ERRORS, first_unreadable, read_table, short_decimals

LINE = "line of the file"
"""The column of line numbers that the readers of text files add."""
FORMATS = ".csv, .tsv, .jsonl, .ndjson or .parquet"
PARQUET = (".parquet", ".pq")
SHOWN = 40


@dataclass(frozen=True)
class Table:
    """Rows of a file, from its row `first` on. `decode` makes a value of a cell."""

    name: str
    frame: pl.DataFrame
    lines: pl.Series | None
    decode: Callable[[object], object]
    first: int = 0

    @property
    def holds_json(self) -> bool:
        """Whether each cell is JSON."""
        return self.decode is _of_json

    @property
    def columns(self) -> list[str]:
        return self.frame.columns

    @property
    def height(self) -> int:
        return self.frame.height

    def place(self, row: int, column: str = "") -> str:
        """`pairs.csv: row 3 (line 5), column 'grade'`."""
        line = f" (line {self.lines[row]})" if self.lines is not None else ""
        return f"{self.name}: row {self.first + row}{line}" + (f", column {column!r}" if column else "")

    def error(self, row: int, column: str, sentence: str) -> DataError:
        """An error at a cell."""
        return DataError(f"{self.place(row, column)}: {sentence}")

    def values(self, column: str) -> Iterator[object]:
        """The values of a column, in order; None for an empty cell."""
        for cell in self.frame[column].to_list():
            yield None if cell is None else self.decode(cell)

    def renamed(self, theirs_to_ours: Mapping[str, str]) -> Table:
        """With columns of the file under other names. Raises DataError for a name that is then there twice."""
        names = {theirs: ours for theirs, ours in theirs_to_ours.items() if theirs in self.columns}
        for theirs, ours in names.items():
            if ours in self.columns and ours not in names:
                raise DataError(f"{self.name}: column {ours!r} exists; {theirs!r} cannot be mapped to it too: map one")
        if len(set(names.values())) < len(names):
            raise DataError(f"{self.name}: two of the columns {', '.join(names)} are mapped to one name: map one")
        return replace(self, frame=self.frame.rename(names))

    def part(self, start: int, rows: int) -> Table:
        """At most `rows` rows, from `start` on."""
        lines = None if self.lines is None else self.lines.slice(start, rows)
        return replace(self, frame=self.frame.slice(start, rows), lines=lines, first=self.first + start)


def _of_json(cell: object) -> object:
    return json.loads(str(cell))


def shown(value: object) -> str:
    """A value in an error: short, in quotes where it is a text."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


def read(path: Path) -> Table:
    """Read a file by its ending. Raises DataError."""
    _check_file(path)
    ending = path.suffix.lower()
    if ending in PARQUET:
        return _nonempty(Table(path.name, _unnested(short_decimals(read_table(path))), None, lambda cell: cell))
    if ending in (".csv", ".tsv"):
        return _of_lines(path, read_csv(path, "\t" if ending == ".tsv" else ",", LINE), lambda cell: cell)
    if ending in (".jsonl", ".ndjson"):
        return _of_lines(path, read_json_lines(path, LINE), _of_json)
    raise DataError(f"{path} has an unknown ending {ending!r}: name a file that ends in {FORMATS}")


def read_parts(path: Path, rows: int) -> Iterator[Table]:
    """The file in parts of at most `rows` rows. Parquet is read part by part, a text file whole. Raises DataError."""
    _check_file(path)
    if path.suffix.lower() not in PARQUET:
        table = read(path)
        yield from (table.part(start, rows) for start in range(0, table.height, rows))
        return
    try:
        lazy = pl.scan_parquet(path)
        num_rows = int(lazy.select(pl.len()).collect().item())
        for start in range(0, max(1, num_rows), rows):
            frame = _unnested(short_decimals(lazy.slice(start, rows).collect()))
            yield _nonempty(Table(path.name, frame, None, lambda cell: cell, start))
    except READ_ERRORS as error:
        raise DataError(first_unreadable(path, type(error).__name__)) from error


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path} is a folder: name a file")
    if not path.exists():
        raise DataError(f"{path} does not exist: check the path")


def _of_lines(path: Path, frame: pl.DataFrame, decode: Callable[[object], object]) -> Table:
    return _nonempty(Table(path.name, frame.drop(LINE), frame[LINE], decode))


def _nonempty(table: Table) -> Table:
    if not table.height:
        raise DataError(f"{table.name}: there are no rows: check how the file was written")
    return table


def _unnested(frame: pl.DataFrame) -> pl.DataFrame:
    """With a column `member.FIELD` for each field of a struct `member`, and likewise of other structs."""
    for name, kind in frame.schema.items():
        if isinstance(kind, pl.Struct):
            fields = short_decimals(frame.select(name).unnest(name))
            parts = fields.rename({each: f"{name}.{each}" for each in fields.columns})
            frame = frame.drop(name).hstack(parts.get_columns())
    return frame
