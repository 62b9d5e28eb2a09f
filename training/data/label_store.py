"""What a teacher put out for pairs of texts, kept so that no pair is scored twice by the same weights.

A folder of Parquet files, each whole or absent: member | candidate | a column f32 for each output, as the model gives
it (logits). `teacher.json` names the weights and the columns. Knows no lists and no heads.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from training.data.tables import DataError, check_columns, empty, read_table
from training.files import read_json, write_json, write_whole

PAIR = ("member", "candidate")


class LabelStore:
    """The labels in `folder` of the teacher with this digest of its weights. Raises DataError for another's."""

    def __init__(self, folder: Path, teacher: str, columns: Sequence[str]) -> None:
        self.folder = folder
        self.columns = list(columns)
        said = {"teacher": teacher, "columns": self.columns}
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "teacher.json").exists():
            write_json(folder / "teacher.json", said)
        elif (found := read_json(folder / "teacher.json")) != said:
            raise DataError(
                f"{folder} has labels of the weights {found['teacher'][:16]}, and this teacher's are {teacher[:16]}"
            )

    def missing(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """The distinct pairs that are not labelled, in order. Raises DataError for a pair without a text."""
        check_columns(pairs, {name: empty(name) for name in PAIR}, "the pairs")
        distinct = pairs.select(PAIR).unique(maintain_order=True)
        return distinct.join(self._labels().select(PAIR), on=PAIR, how="anti", maintain_order="left")

    def add(self, content: bytes) -> None:
        """Keep a file that `label_bytes` made."""
        write_whole(self.folder / f"labels-{hashlib.sha256(content).hexdigest()[:16]}.parquet", content)

    def outputs(self, pairs: pl.DataFrame) -> np.ndarray:
        """f32[pairs, columns], in order. Raises DataError where a pair has no label."""
        found = pairs.select(PAIR).join(self._labels(), on=PAIR, how="left", maintain_order="left")
        lacking = found[self.columns[0]].is_null()
        if lacking.any():
            raise DataError(f"{self.folder}: no label of the pair in row {lacking.arg_max()}")
        return found.select(self.columns).to_numpy().astype(np.float32)

    def _labels(self) -> pl.DataFrame:
        schema = {**dict.fromkeys(PAIR, pl.String), **dict.fromkeys(self.columns, pl.Float32)}
        shards = [read_table(path).select(list(schema)) for path in sorted(self.folder.glob("labels-*.parquet"))]
        return pl.concat([pl.DataFrame(schema=schema), *shards]).unique(PAIR, maintain_order=True)


def label_bytes(pairs: pl.DataFrame, columns: Sequence[str], outputs: np.ndarray) -> bytes:
    """A file of the store: pairs with their outputs f32[pairs, columns]."""
    labelled = [pl.Series(name, outputs[:, index], dtype=pl.Float32) for index, name in enumerate(columns)]
    file = io.BytesIO()
    pairs.select(PAIR).with_columns(labelled).write_parquet(file)
    return file.getvalue()
