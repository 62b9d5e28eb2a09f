"""Soft labels: read back as they were written; labels that cannot be used are named with file, row and column."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training.data.soft_labels import SoftLabels, read_soft_labels, shard_bytes, shard_path
from training.data.tables import DataError
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.policy.policy import PolicyMismatch

POLICY = read_policy(POLICIES / "demo.md")
OTHER = dataclasses.replace(POLICY, sha256="0" * 64)


def shard(folder: Path, **changes: list[object]) -> None:
    columns: dict[str, list[object]] = {
        "list_id": ["1", "1"],
        "source": ["s", "s"],
        "split": ["train", "train"],
        "member": ["a", "a"],
        "candidate": ["x", "y"],
        "fit": [0.25, 1.0],
        "fit_logit": [-1.1, 9.0],
        "fit_gold": [None, 1.0],
        "fit_answerable": [0.75, None],
        **{f"fit_{grade}": [1 / (1 + grade), None] for grade in (1, 2, 3, 4)},
        "policy": [POLICY.stamp, POLICY.stamp],
    }
    gains = ("fit", *(f"fit_{name}" for name in ("gold", "answerable", 1, 2, 3, 4)))
    table = pl.DataFrame(
        {**columns, **changes}, schema_overrides={**dict.fromkeys(gains, pl.Float64), "member": pl.String}
    )
    table.write_parquet(folder / "soft-00000.parquet")


def test_labels_of_this_policy_are_read(tmp_path: Path) -> None:
    shard(tmp_path)
    (read,) = read_soft_labels(tmp_path, ["fit"], POLICY)
    labels = SoftLabels.of(read.labels, "fit")
    assert labels.probability.tolist() == [0.25, 1.0]
    assert labels.logit.tolist() == [-1.1, 9.0]
    np.testing.assert_array_equal(labels.gold, [np.nan, 1.0])
    np.testing.assert_array_equal(labels.answerable, [0.75, np.nan])
    np.testing.assert_array_equal(labels.at_least, [[1 / 2, 1 / 3, 1 / 4, 1 / 5], [np.nan] * 4])


def test_labels_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    shard(tmp_path)
    path = shard_path(tmp_path, 0)
    (read,) = read_soft_labels(tmp_path, ["fit"], POLICY)
    path.write_bytes(shard_bytes(pl.read_parquet(path), {"fit": SoftLabels.of(read.labels, "fit")}, POLICY.stamp))
    (again,) = read_soft_labels(tmp_path, ["fit"], POLICY)
    assert again.candidates == read.candidates
    for name, values in read.labels.items():
        np.testing.assert_array_equal(again.labels[name], values)


def test_a_missing_column_and_no_shard_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no soft labels"):
        read_soft_labels(tmp_path, ["fit"], POLICY)
    shard(tmp_path)
    with pytest.raises(DataError, match=r"soft-00000\.parquet: column 'click' is missing"):
        read_soft_labels(tmp_path, ["fit", "click"], POLICY)


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"fit": [0.5, float("nan")]}, "fit"),
        ({"fit": [0.5, None]}, "fit"),
        ({"fit": [0.5, 1.5]}, "fit"),
        ({"fit_logit": [0.0, float("inf")]}, "fit_logit"),
        ({"fit_gold": [0.0, 2.0]}, "fit_gold"),
        ({"fit_answerable": [0.0, 2.0]}, "fit_answerable"),
        ({"fit_3": [0.0, -1.0]}, "fit_3"),
        ({"member": ["a", None]}, "member"),
    ],
    ids=[
        "NaN",
        "no label",
        "above one",
        "infinite logit",
        "gold above one",
        "answerable above one",
        "grade below none",
        "no member",
    ],
)
def test_a_label_that_cannot_be_used_is_named(tmp_path: Path, changes: dict[str, list[object]], column: str) -> None:
    shard(tmp_path, **changes)
    with pytest.raises(DataError, match=rf"soft-00000\.parquet: row 1, column '{column}'"):
        read_soft_labels(tmp_path, ["fit"], POLICY)


def test_labels_made_under_another_policy_are_refused(tmp_path: Path) -> None:
    shard(tmp_path, policy=[POLICY.stamp, OTHER.stamp])
    with pytest.raises(PolicyMismatch, match=r"soft-00000\.parquet: row 1, column 'policy'") as caught:
        read_soft_labels(tmp_path, ["fit"], POLICY)
    assert POLICY.stamp in str(caught.value)
    assert OTHER.stamp in str(caught.value)
