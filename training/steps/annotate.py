"""Step `annotate`: every training pair is scored by each teacher once, and the soft labels are written in shards.

    <head>_logit f32: the raw output of the head's teacher | <head> f64: its calibrated probability | <head>_gold f64:
    the gain, or null | policy str: the stamp of the policy that the teacher was made under

A shard that stands is not scored again: a run that was cut off goes on where it stopped. The engine says where shards
are scored; this process alone writes them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch
from tqdm import tqdm

from models.text import TextEncoder
from training.data.tables import check_columns, empty, read_table
from training.distillation.teachers import Teacher
from training.executors import LOCAL, Executor
from training.nets.inference import encode_pairs, predict
from training.policy.policy import Policy, check_stamps

SHARD_PAIRS = 4096


def annotate(
    pairs: pl.DataFrame,
    teachers: Sequence[Teacher],
    encoder: TextEncoder,
    policy: str,
    out: Path,
    engine: Executor = LOCAL,
) -> None:
    """Write `out/soft-00000.parquet` ...; `pairs` has the columns of `training.data.lists`, `policy` is the stamp.

    The bytes are the same whatever the engine, given the same kind of processor and as many threads.
    """
    paths = {out / f"soft-{start // SHARD_PAIRS:05d}.parquet": start for start in range(0, pairs.height, SHARD_PAIRS)}
    missing = {path: start for path, start in paths.items() if not path.exists()}
    work = ((path, pairs.slice(start, SHARD_PAIRS)) for path, start in missing.items())
    open_worker = partial(_labeller, torch.get_num_threads(), teachers, encoder, policy)
    labelled = engine.map(open_worker, work)
    for path, content in tqdm(labelled, total=len(missing), desc="annotate", mininterval=5):
        unfinished = path.with_suffix(".partial")
        unfinished.write_bytes(content)
        unfinished.replace(path)


def _labeller(
    threads: int, teachers: Sequence[Teacher], encoder: TextEncoder, policy: str
) -> Callable[[pl.DataFrame], bytes]:
    """What labels a shard, ready to run where this is called: as many threads, the same bits."""
    torch.set_num_threads(threads)
    for teacher in teachers:
        teacher.model.to("cuda" if torch.cuda.is_available() else "cpu")
    return partial(label_shard, teachers=teachers, encoder=encoder, policy=policy)


def label_shard(shard: pl.DataFrame, teachers: Sequence[Teacher], encoder: TextEncoder, policy: str) -> bytes:
    """A shard of pairs -> its file, in Parquet: what every teacher says of them, and the stamp of the policy."""
    columns = []
    for teacher in teachers:
        reading = teacher.model.pair_encoder(encoder)
        pairs = encode_pairs(reading, shard["member"].to_list(), shard["candidate"].to_list())
        columns += _columns(shard, teacher, predict(teacher.model, reading, pairs))
    gold = [head for teacher in teachers for head in teacher.heads if head in shard.columns]
    file = io.BytesIO()
    shard.drop(gold).with_columns(*columns, pl.lit(policy).alias("policy")).write_parquet(file)
    return file.getvalue()


def _columns(pairs: pl.DataFrame, teacher: Teacher, logits: np.ndarray) -> list[pl.Series]:
    """What one teacher says. Actions have no gold: what a log shows of them depends on the place."""
    columns: list[pl.Series] = []
    unknown = pl.Series([None] * pairs.height, dtype=pl.Float64)
    for index, head in enumerate(teacher.heads):
        stated = teacher.calibrations[head].apply(logits[:, index]).astype(np.float64)
        gold = pairs[head] if head in pairs.columns else unknown
        columns += [gold.rename(f"{head}_gold"), pl.Series(f"{head}_logit", logits[:, index]), pl.Series(head, stated)]
    return columns


def check_soft_labels(folder: Path, heads: Sequence[str], policy: Policy) -> None:
    """Raise DataError for a shard that cannot be read or has a soft label that is no probability, and PolicyMismatch
    for one that was made under another policy.
    """
    for path in sorted(folder.glob("soft-*.parquet")):
        shard = read_table(path)
        problems = {"member": empty("member"), "candidate": empty("candidate"), "policy": empty("policy")}
        for head in heads:
            usable = pl.col(head).is_between(0, 1) & pl.col(f"{head}_logit").is_finite()
            problems[head] = ~usable.fill_null(value=False), "a soft label must be a probability with a finite logit"
        check_columns(shard, problems, str(path))
        check_stamps(shard["policy"], policy, str(path))


def read_soft_labels(folder: Path) -> pl.DataFrame:
    """All shards, in order."""
    return pl.read_parquet(sorted(folder.glob("soft-*.parquet")))
