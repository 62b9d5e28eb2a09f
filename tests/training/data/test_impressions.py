"""The engagement log: unusable rows are refused with file, row and column."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from training.data.impressions import POSITION, SHOWN, read_impressions
from training.data.tables import DataError

ROWS = {
    "list_id": ["a", "a", "b"],
    "source": ["s"] * 3,
    "split": ["train", "train", "valid"],
    "member": ["m", "m", "n"],
    "candidate": ["x", "y", "z"],
    POSITION: [2.0, 1.0, 1.0],
    "click": [1.0, 0.0, None],
}


def written(folder: Path, **columns: list[object]) -> Path:
    pl.DataFrame({**ROWS, **columns}).write_parquet(folder / "log.parquet")
    return folder / "log.parquet"


def test_lists_of_one_split_have_positions_and_actions(tmp_path: Path) -> None:
    [found] = read_impressions(written(tmp_path), ["click"], "train")
    assert found.candidates == ("x", "y")
    assert found.labels[POSITION].tolist() == [2.0, 1.0]
    assert found.labels["click"].tolist() == [1.0, 0.0]


PLACE, ACTION = "a position must be a whole number from 1", "an action must be 0 or 1, or null"


@pytest.mark.parametrize(
    ("columns", "row", "column", "words"),
    [
        ({POSITION: [2.0, 0.0, 1.0]}, 1, POSITION, PLACE),
        ({POSITION: [2.0, 1.0, None]}, 2, POSITION, PLACE),
        ({POSITION: [2.0, 1.5, 1.0]}, 1, POSITION, PLACE),
        ({"click": [1.0, 0.5, 0.0]}, 1, "click", ACTION),
        ({"click": [1.0, 0.0, float("nan")]}, 2, "click", ACTION),
        ({"member": ["m", None, "n"]}, 1, "member", "empty"),
    ],
)
def test_a_bad_value_is_named(
    tmp_path: Path, columns: dict[str, list[object]], row: int, column: str, words: str
) -> None:
    path = written(tmp_path, **columns)
    with pytest.raises(DataError, match=rf"log.parquet: row {row}, column '{column}': {words}"):
        read_impressions(path, ["click"], "train")


def test_a_position_used_twice_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 0, column 'position': another candidate of the list"):
        read_impressions(written(tmp_path, **dict[str, list[object]]({POSITION: [1.0, 1.0, 1.0]})), ["click"], "train")


def test_a_log_without_positions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame(ROWS).drop(POSITION).write_parquet(path)
    with pytest.raises(DataError, match="column 'position' is missing"):
        read_impressions(path, ["click"], "train")


def test_shown_more_than_once_an_action_is_a_share(tmp_path: Path) -> None:
    counted = dict[str, list[object]]({"shown": [4.0, None, 1.0], "click": [0.25, 1.0, 0.0]})
    [found] = read_impressions(written(tmp_path, **counted), ["click"], "train")
    assert found.labels[SHOWN].tolist() == [4.0, 1.0]
    assert found.labels["click"].tolist() == [0.25, 1.0]
    for shown, column in ((3.0, "click"), (0.0, "shown"), (float("nan"), "shown")):
        path = written(tmp_path, **dict[str, list[object]]({**counted, "shown": [shown, None, 1.0]}))
        with pytest.raises(DataError, match=rf"row 0, column '{column}': "):
            read_impressions(path, ["click"], "train")
