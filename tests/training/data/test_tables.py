"""Broken Parquet files: the error names the row and column."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from training.data.tables import DataError, check_columns, empty, read_table

ROWS = 600


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "table.parquet"
    texts = [f"text {number} {'x' * (number % 7)}" for number in range(ROWS)]
    table = pl.DataFrame({"id": list(range(ROWS)), "member": texts, "grade": [1.0] * ROWS})
    # Uncompressed groups of 100 rows: the place of a text in the file can be found and broken.
    table.write_parquet(file, row_group_size=100, compression="uncompressed")
    return file


def test_a_whole_file_is_read(path: Path) -> None:
    assert read_table(path).height == ROWS


def test_a_row_that_cannot_be_read_is_named_with_its_column(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(b"text 250 ")
    content[at - 4 : at] = b"\xff\xff\xff\x7f"  # the length before the text
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"table\.parquet: row \d+, column 'member': cannot be read") as caught:
        read_table(path)
    row = int(str(caught.value).split("row ")[1].split(",")[0])
    assert 200 <= row <= 250  # readers take a page at a time


def test_a_file_that_is_cut_off_is_named(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"table\.parquet: not a readable Parquet file"):
        read_table(path)


def test_the_first_unusable_row_is_named_with_its_column() -> None:
    table = pl.DataFrame({"member": ["a", "b", "  ", None]})
    with pytest.raises(DataError, match=r"grades\.csv: row 2, column 'member': empty"):
        check_columns(table, {"member": empty("member")}, "grades.csv")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pl.DataFrame({"other": ["a"]}), "column 'member' is missing"),
        (pl.DataFrame({"member": []}, schema={"member": pl.String}), "there are no rows"),
    ],
)
def test_a_missing_column_and_missing_rows_are_named(table: pl.DataFrame, words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_columns(table, {"member": empty("member")}, "file")
