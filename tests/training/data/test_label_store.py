"""Labels by pair: none twice, none of other weights, and read back in the order of what is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training.data.label_store import LabelStore, label_bytes
from training.data.tables import DataError

COLUMNS = ["relevance_1", "relevance_2"]
PAIRS = pl.DataFrame(
    {"member": ["a", "a", "b", "a"], "candidate": ["x", "y", "x", "x"], "list_id": ["1", "1", "2", "3"]}
)


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "labels", "weights", COLUMNS)


def test_a_pair_is_missing_once_and_not_after_it_was_labelled(store: LabelStore) -> None:
    assert store.missing(PAIRS).rows() == [("a", "x"), ("a", "y"), ("b", "x")]
    store.add(label_bytes(PAIRS[:2], COLUMNS, np.array([[1, 2], [3, 4]], dtype=np.float32)))
    assert store.missing(PAIRS).rows() == [("b", "x")]


def test_labels_come_in_the_order_of_the_pairs(store: LabelStore) -> None:
    store.add(label_bytes(PAIRS[1:3], COLUMNS, np.array([[3, 4], [5, 6]], dtype=np.float32)))
    store.add(label_bytes(PAIRS[:1], COLUMNS, np.array([[1, 2]], dtype=np.float32)))
    assert store.outputs(PAIRS).tolist() == [[1, 2], [3, 4], [5, 6], [1, 2]]


def test_a_pair_without_a_label_is_named(store: LabelStore) -> None:
    store.add(label_bytes(PAIRS[:2], COLUMNS, np.zeros((2, 2), dtype=np.float32)))
    with pytest.raises(DataError, match="no label of the pair in row 2"):
        store.outputs(PAIRS)


def test_labels_of_other_weights_are_refused(store: LabelStore) -> None:
    LabelStore(store.folder, "weights", COLUMNS)
    with pytest.raises(DataError, match="has labels of the weights weights, and this teacher's are others"):
        LabelStore(store.folder, "others", COLUMNS)


def test_a_half_written_file_is_not_read(store: LabelStore) -> None:
    (store.folder / "labels-00000000.parquet.partial").write_bytes(b"half")
    assert len(store.missing(PAIRS)) == 3


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (pl.DataFrame({"member": ["a"]}), "column 'candidate' is missing"),
        (pl.DataFrame({"member": ["a", ""], "candidate": ["x", "y"]}), "row 1, column 'member'"),
    ],
    ids=["no column", "no text"],
)
def test_pairs_that_cannot_be_labelled_are_named(store: LabelStore, pairs: pl.DataFrame, said: str) -> None:
    with pytest.raises(DataError, match=said):
        store.missing(pairs)
