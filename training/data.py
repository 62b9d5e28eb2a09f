"""Candidate lists: the one table that every step of the cookbook reads.

A row is a pair. Rows of one list share `list_id` and `member`. Label columns are named after the heads and
hold gains in [0, 1] (null: not judged). This file knows the schema, not where lists come from or what trains
on them.

    list_id str | source str | split "train"|"valid"|"test" | member str | candidate str | <head> f64 ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from models.text import Fields, Template

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
KEYS = ("list_id", "source", "split", "member", "candidate")


class DataError(Exception):
    """A row that cannot be used; the sentence names file, row and column."""


@dataclass(frozen=True)
class FieldList:
    """What an adapter yields: one member, its candidates, and a gain per candidate for each judged head."""

    list_id: str
    source: str
    split: Split
    member: Fields
    candidates: Sequence[Fields]
    labels: Mapping[str, Sequence[float | None]]


@dataclass(frozen=True)
class CandidateList:
    """One member's candidates as texts; labels[head][i] is the gain of candidate i, NaN where it was not judged."""

    list_id: str
    source: str
    member: str
    candidates: tuple[str, ...]
    labels: dict[str, np.ndarray] = field(repr=False)

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def is_judged(self) -> bool:
        """Whether any candidate has a gain; a list without one is only text to read."""
        return not all(np.isnan(gains).all() for gains in self.labels.values())


def render_lists(lists: Iterable[FieldList], template: Template, heads: Sequence[str]) -> pl.DataFrame:
    """Render fields to text with the bundle's own template, so that training reads what serving will."""
    rows: list[dict[str, object]] = []
    for each in lists:
        member = template.render_member(each.member)
        for index, candidate in enumerate(each.candidates):
            labels = {head: each.labels[head][index] if head in each.labels else None for head in heads}
            text = template.render_candidate(candidate)
            keys = zip(KEYS, (each.list_id, each.source, each.split, member, text), strict=True)
            rows.append({**dict(keys), **labels})
    schema = {**dict.fromkeys(KEYS, pl.String), **dict.fromkeys(heads, pl.Float64)}
    return pl.DataFrame(rows, schema=schema)


def check_pairs(pairs: pl.DataFrame, heads: Sequence[str], origin: str) -> None:
    """Raise DataError for a missing column, an empty text or a gain outside [0, 1]; the first bad row is named."""
    missing = [name for name in (*KEYS, *heads) if name not in pairs.columns]
    if missing:
        raise DataError(f"{origin}: column {missing[0]!r} is missing")
    problems = {name: pl.col(name).is_null() | (pl.col(name).str.strip_chars() == "") for name in KEYS}
    problems["split"] = ~pl.col("split").is_in(SPLITS)
    for head in heads:
        problems[head] = pl.col(head).is_nan() | (pl.col(head) < 0) | (pl.col(head) > 1)
    for name, is_bad in problems.items():
        bad = pairs.with_row_index("row").filter(is_bad)
        if bad.height:
            raise DataError(f"{origin}: row {bad['row'][0]}, column {name!r}: not a usable value")


def read_pairs(path: Path, heads: Sequence[str]) -> pl.DataFrame:
    """Read and check a pairs file. Raises DataError naming file, row and column."""
    try:
        pairs = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({type(error).__name__})") from error
    check_pairs(pairs, heads, str(path))
    return pairs


def candidate_lists(pairs: pl.DataFrame, heads: Sequence[str]) -> Iterator[CandidateList]:
    """Group rows back into lists, in the order of the file."""
    for (list_id,), rows in pairs.group_by(["list_id"], maintain_order=True):
        labels = {head: rows[head].fill_null(np.nan).to_numpy() for head in heads}
        yield CandidateList(str(list_id), rows["source"][0], rows["member"][0], tuple(rows["candidate"]), labels)


def some_lists(pairs: pl.DataFrame, count: int | None, seed: int) -> pl.DataFrame:
    """All rows of `count` lists drawn at random (None: of all lists), in the order of the file."""
    if count is None:
        return pairs
    ids = pairs["list_id"].unique(maintain_order=True)
    return pairs.filter(pl.col("list_id").is_in(ids.sample(min(count, len(ids)), seed=seed).to_list()))


def read_lists(folder: Path, heads: Sequence[str], split: Split) -> list[CandidateList]:
    """All lists of one split from the folder that step `data` wrote."""
    pairs = read_pairs(folder / "pairs.parquet", heads)
    return list(candidate_lists(pairs.filter(pl.col("split") == split), heads))
