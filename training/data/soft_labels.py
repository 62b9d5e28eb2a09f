"""Soft labels: the teachers' outputs for pairs, in shards of Parquet. Written, read and checked only here.

list_id | source | split | member | candidate    as in `training.data.lists`
<head>                f64  the probability of an action, or the expected gain (grade / 4): calibrated
<head>_logit          f32  the same before calibration, as a logit
<head>_gold           f64  the gain that a judge or a person gave, or null
<head>_answerable     f64  the probability that the texts answer the head's question at all; null for actions
<head>_1 ... <head>_4 f64  the probability that the grade is at least 1, 2, 3, 4; null for actions
policy                str  the stamp of the policy that the teacher was made under

The policy teacher labels `relevance`, which is the overall grade, and each dimension of the policy, by its name.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from training.data.lists import KEYS, CandidateList, candidate_lists
from training.data.tables import DataError, check_columns, empty, read_table
from training.policy.policy import Policy, check_stamp

TOP_GRADE = 4
OUTPUTS = TOP_GRADE + 1
"""What a policy teacher puts out for a head: a logit for each grade from 1, of being at least that, and one of being
answerable.
"""


@dataclass(frozen=True)
class SoftColumns:
    """The names of a head's columns in a shard, and of its labels in a list."""

    probability: str
    logit: str
    gold: str
    answerable: str
    at_least: tuple[str, ...]

    @classmethod
    def of(cls, head: str) -> SoftColumns:
        steps = tuple(f"{head}_{grade}" for grade in range(1, TOP_GRADE + 1))
        return cls(head, f"{head}_logit", f"{head}_gold", f"{head}_answerable", steps)

    @property
    def graded(self) -> tuple[str, ...]:
        """The columns that labels of an action lack."""
        return (self.answerable, *self.at_least)

    @property
    def all(self) -> tuple[str, ...]:
        return (self.probability, self.logit, self.gold, *self.graded)


@dataclass(frozen=True)
class Answers:
    """What a policy teacher answers to Q questions (heads) about N pairs.

    `at_least` f64[N, Q, 4]: the probability that the grade is at least 1, 2, 3, 4. `answerable` f64[N, Q]: that the
    texts answer the question.
    """

    at_least: np.ndarray
    answerable: np.ndarray

    @classmethod
    def of(cls, outputs: np.ndarray) -> Answers:
        """From a teacher's outputs f32[N, 5 Q]."""
        chances = 1 / (1 + np.exp(-outputs.astype(np.float64).reshape(len(outputs), -1, OUTPUTS)))
        return cls(chances[..., :TOP_GRADE], chances[..., TOP_GRADE])

    @property
    def logits(self) -> np.ndarray:
        """f64[N, Q]: the logit of the expected gain, which is the expected grade / 4."""
        gain = self.at_least.mean(-1).clip(1e-6, 1 - 1e-6)
        found: np.ndarray = np.log(gain / (1 - gain))
        return found


@dataclass(frozen=True)
class SoftLabels:
    """A head's labels of some pairs, in order: f64[pairs] each, `at_least` f64[pairs, 4].

    Gold is NaN where no grade is known. The last two are NaN for an action.
    """

    probability: np.ndarray
    logit: np.ndarray
    gold: np.ndarray
    answerable: np.ndarray
    at_least: np.ndarray

    @classmethod
    def of(cls, labels: Mapping[str, np.ndarray], head: str) -> SoftLabels:
        """A head's soft labels among the labels of a list."""
        columns = SoftColumns.of(head)
        at_least = np.stack([labels[name] for name in columns.at_least], axis=-1)
        return cls(
            labels[columns.probability],
            labels[columns.logit],
            labels[columns.gold],
            labels[columns.answerable],
            at_least,
        )

    @classmethod
    def of_action(cls, probability: np.ndarray, logit: np.ndarray) -> SoftLabels:
        """Of an action: it has no grade, and no gold, because what a log shows of it depends on the place."""
        nothing = np.full(len(logit), np.nan)
        return cls(probability, logit, nothing, nothing, np.full((len(logit), TOP_GRADE), np.nan))

    def rows(self, rows: slice) -> SoftLabels:
        """The labels of some of the pairs."""
        return SoftLabels(*(values[rows] for values in vars(self).values()))

    def by_column(self, head: str) -> dict[str, np.ndarray]:
        """As labels of a list."""
        columns = SoftColumns.of(head)
        values = (self.probability, self.logit, self.gold, self.answerable, *self.at_least.T)
        return dict(zip(columns.all, values, strict=True))


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"soft-{number:05d}.parquet"


def shard_bytes(pairs: pl.DataFrame, labels: Mapping[str, SoftLabels], policy: str) -> bytes:
    """A shard's file: the pairs, the labels of each head, and the stamp of the policy."""
    columns = [
        pl.Series(name, values).fill_nan(None)
        for head, each in labels.items()
        for name, values in each.by_column(head).items()
    ]
    file = io.BytesIO()
    pairs.select(KEYS).with_columns(*columns, pl.lit(policy).alias("policy")).write_parquet(file)
    return file.getvalue()


def read_soft_labels(folder: Path, heads: Sequence[str], policy: Policy) -> list[CandidateList]:
    """The lists of all shards, in order; their labels are those of `SoftLabels` for each head.

    Raises DataError, with file, row and column, for a shard that cannot be used, and PolicyMismatch for labels that
    were made under another policy.
    """
    paths = sorted(folder.glob("soft-*.parquet"))
    if not paths:
        raise DataError(f"{folder}: there are no soft labels")
    names = [name for head in heads for name in SoftColumns.of(head).all]
    shards = [_read_shard(path, heads, policy).select(*KEYS, *names) for path in paths]
    return list(candidate_lists(pl.concat(shards), names))


def _read_shard(path: Path, heads: Sequence[str], policy: Policy) -> pl.DataFrame:
    shard = read_table(path)
    problems = {name: empty(name) for name in (*KEYS, "policy")}
    for columns in map(SoftColumns.of, heads):
        is_probability = pl.col(columns.probability).is_between(0, 1).fill_null(value=False)
        problems[columns.probability] = ~is_probability, "a soft label must be a probability"
        problems[columns.logit] = ~pl.col(columns.logit).is_finite().fill_null(value=False), "a logit must be finite"
        for name in (columns.gold, *columns.graded):
            outside = pl.col(name).is_nan() | ~pl.col(name).is_between(0, 1)
            problems[name] = outside, "must be a number from 0 to 1, or null"
    check_columns(shard, problems, str(path))
    for row, stamp in enumerate(shard["policy"]):
        check_stamp(stamp, policy, f"{path}: row {row}, column 'policy': the label")
    return shard
