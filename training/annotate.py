"""Step `annotate`: every training pair is scored by the teacher once, and the soft labels are written in shards.

    <head>_logit f32: the teacher's raw output | <head> f64: its calibrated probability | <head>_gold f64: the
    gain, or null

A shard that stands is not scored again: a run that was cut off goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from tqdm import tqdm

from models.bundle import Calibration
from models.text import Pair, TextEncoder
from training.cross_encoder import CrossEncoder, predict

SHARD_PAIRS = 4096


def annotate(
    pairs: pl.DataFrame,
    teacher: CrossEncoder,
    calibrations: dict[str, Calibration],
    encoder: TextEncoder,
    heads: Sequence[str],
    out: Path,
) -> None:
    """Write `out/soft-00000.parquet` ...; `pairs` has the columns of `training.data`."""
    shards = range(0, pairs.height, SHARD_PAIRS)
    for number, start in enumerate(tqdm(shards, desc="annotate", mininterval=5)):
        path = out / f"soft-{number:05d}.parquet"
        if path.exists():
            continue
        shard = pairs.slice(start, SHARD_PAIRS)
        logits = predict(teacher, encoder, encode_pairs(encoder, shard))
        partial = path.with_suffix(".partial")
        _labelled(shard, logits, calibrations, heads).write_parquet(partial)
        partial.replace(path)


def encode_pairs(encoder: TextEncoder, pairs: pl.DataFrame) -> list[Pair]:
    """Token ids of each row; a member that stands in many rows is tokenised once."""
    members = {text: encoder.member(text) for text in pairs["member"].unique()}
    candidates = encoder.candidates(pairs["candidate"].to_list())
    return [Pair(members[text], ids) for text, ids in zip(pairs["member"], candidates, strict=True)]


def _labelled(
    shard: pl.DataFrame, logits: np.ndarray, calibrations: dict[str, Calibration], heads: Sequence[str]
) -> pl.DataFrame:
    columns: list[pl.Series] = []
    for index, head in enumerate(heads):
        columns.append(shard[head].rename(f"{head}_gold"))
        columns.append(pl.Series(f"{head}_logit", logits[:, index]))
        columns.append(pl.Series(head, calibrations[head].apply(logits[:, index]).astype(np.float64)))
    return shard.drop(heads).with_columns(columns)


def read_soft_labels(folder: Path) -> pl.DataFrame:
    """All shards, in order."""
    return pl.read_parquet(sorted(folder.glob("soft-*.parquet")))
