"""The pairs table: rendered lists are read back, and every unusable row is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.template import FieldFormat, Template
from training.data.lists import FieldList, candidate_lists, check_pairs, read_lists, read_pairs, render_lists
from training.data.tables import DataError

TEMPLATE = Template(member=(FieldFormat(name="headline"),), candidate=(FieldFormat(name="title"),))
LISTS = [
    FieldList("b", "here", "train", {"headline": "cook"}, [{"title": "chef"}, {"title": "pilot"}], {"fit": [1.0, 0.0]}),
    FieldList("a", "here", "test", {"headline": "clerk"}, [{"title": "bookkeeper"}], {"fit": [0.5]}),
]


@pytest.fixture
def pairs() -> pl.DataFrame:
    return render_lists(LISTS, TEMPLATE, ["fit", "apply"])


def test_lists_come_back_in_order_with_their_labels(pairs: pl.DataFrame) -> None:
    first, second = candidate_lists(pairs, ["fit", "apply"])
    assert (first.list_id, first.member, first.candidates) == ("b", "cook", ("chef", "pilot"))
    assert first.labels["fit"].tolist() == [1.0, 0.0]
    assert np.isnan(first.labels["apply"]).all()
    assert second.list_id == "a"


def test_a_split_is_read_by_itself(pairs: pl.DataFrame, tmp_path: Path) -> None:
    pairs.write_parquet(tmp_path / "pairs.parquet")
    assert [each.list_id for each in read_lists(tmp_path, ["fit"], "test")] == ["a"]


@pytest.mark.parametrize(
    ("column", "value", "row"),
    [("member", " ", 1), ("candidate", None, 2), ("split", "tests", 0), ("fit", 1.5, 1), ("fit", float("nan"), 2)],
    ids=["empty member", "no candidate", "unknown split", "gain above one", "gain not a number"],
)
def test_the_first_unusable_row_is_named(pairs: pl.DataFrame, column: str, value: object, row: int) -> None:
    values = pairs[column].to_list()
    values[row] = value
    with pytest.raises(DataError, match=rf"pairs: row {row}, column '{column}'"):
        check_pairs(pairs.with_columns(pl.Series(column, values)), ["fit"], "pairs")


def test_a_missing_column_is_named(pairs: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="column 'clicks' is missing"):
        check_pairs(pairs, ["clicks"], "pairs")


def test_a_list_without_candidates_is_named() -> None:
    bare = FieldList("market/3", "market", "train", {"headline": "cook"}, [], {"fit": []})
    with pytest.raises(DataError, match="market: list 'market/3' is empty"):
        render_lists([*LISTS, bare], TEMPLATE, ["fit"])


def test_a_table_without_rows_is_named(pairs: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="pairs: there are no rows"):
        check_pairs(pairs.clear(), ["fit"], "pairs")


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "pairs.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"pairs\.parquet: not a readable Parquet file"):
        read_pairs(tmp_path / "pairs.parquet", ["fit"])
