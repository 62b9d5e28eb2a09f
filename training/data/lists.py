"""Candidate lists: the one table that every step of the pipeline reads.

A row is a pair. Rows of one list share `list_id` and `member`. Label columns are named after the heads and
hold gains in [0, 1] (null: not judged). Knows the schema, not where lists come from or what trains on them.

    list_id str | source str | split "train"|"valid"|"test" | member str | candidate str | <head> f64 ...
    feature.NAME f64 ...   numbers of the candidate, in their units (null: missing), where the recipe declares any
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from models.errors import FieldError
from models.template import Fields, Template
from training.data.features import PREFIX, column_of
from training.data.tables import DataError, check_columns, empty, read_table

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
KEYS = ("list_id", "source", "split", "member", "candidate")


def split_of(key: str, train: float = 0.8, valid: float = 0.08) -> Split:
    """80 % train, 8 % valid, 12 % test, by hash of the key: stable when the data grows.

    With smaller shares, every key that was held out stays held out.
    """
    share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32
    return "train" if share < train else "valid" if share < train + valid else "test"


@dataclass(frozen=True)
class FieldList:
    """One list of a source: a member, its candidates, and a gain per candidate for each judged head.

    `features` are numbers per candidate, by the names of features that the recipe declares.
    """

    list_id: str
    source: str
    split: Split
    member: Fields
    candidates: Sequence[Fields]
    labels: Mapping[str, Sequence[float | None]]
    features: Mapping[str, Sequence[float | None]] = field(default_factory=dict)


def cut(each: FieldList, count: int) -> FieldList:
    """The list with its first `count` candidates."""
    labels = {name: gains[:count] for name, gains in each.labels.items()}
    features = {name: numbers[:count] for name, numbers in each.features.items()}
    return replace(each, candidates=each.candidates[:count], labels=labels, features=features)


@dataclass(frozen=True)
class CandidateList:
    """One member's candidates as texts; labels[head][i] is the gain of candidate i, NaN if it was not judged.

    features[name][i] is a number of candidate i, NaN if it is missing.
    """

    list_id: str
    source: str
    member: str
    candidates: tuple[str, ...]
    labels: dict[str, np.ndarray] = field(repr=False)
    features: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def is_judged(self) -> bool:
        """Whether any candidate has a gain."""
        return not all(np.isnan(gains).all() for gains in self.labels.values())


def render_lists(
    lists: Iterable[FieldList], template: Template, heads: Sequence[str], features: Sequence[str] = ()
) -> pl.DataFrame:
    """Render fields to text with the bundle's own template, so that training reads the same texts as serving.

    Raises DataError for a list without candidates, and for a field that has no text.
    """
    rows: list[dict[str, object]] = []
    for each in lists:
        if not each.candidates:
            raise DataError(f"{each.source}: list {each.list_id!r} is empty: it has no candidates")
        place = f"{each.source}: list {each.list_id!r}"
        member = rendered(template.render_member, each.member, f"{place}, the member")
        for index, candidate in enumerate(each.candidates):
            labels = {head: each.labels[head][index] if head in each.labels else None for head in heads}
            for name in features:
                labels[column_of(name)] = each.features[name][index] if name in each.features else None
            text = rendered(template.render_candidate, candidate, f"{place}, candidate {index}")
            keys = zip(KEYS, (each.list_id, each.source, each.split, member, text), strict=True)
            rows.append({**dict(keys), **labels})
    numbers = (*heads, *map(column_of, features))
    schema = {**dict.fromkeys(KEYS, pl.String), **dict.fromkeys(numbers, pl.Float64)}
    return pl.DataFrame(rows, schema=schema)


def rendered(render: Callable[[Fields], str], fields: Fields, place: str) -> str:
    """The text of some fields. Raises DataError, which names the place and the field, where there is none."""
    try:
        return render(fields)
    except FieldError as error:
        raise DataError(f"{place}: {error}") from None


def check_pairs(pairs: pl.DataFrame, heads: Sequence[str], origin: str) -> None:
    """Raise DataError, with the first bad row, for a missing column, an empty text, a gain outside [0, 1], or a feature
    that is not a finite number.
    """
    problems = {name: empty(name) for name in KEYS}
    problems["split"] = ~pl.col("split").is_in(SPLITS), f"must be one of {', '.join(SPLITS)}"
    for head in heads:
        outside = pl.col(head).is_nan() | (pl.col(head) < 0) | (pl.col(head) > 1)
        problems[head] = outside, "a gain must be a number from 0 to 1, or null"
    for name in pairs.columns:
        if name.startswith(PREFIX):
            problems[name] = ~pl.col(name).is_finite(), "a feature must be a finite number, or null"
    check_columns(pairs, problems, origin)


def read_pairs(path: Path, heads: Sequence[str]) -> pl.DataFrame:
    """Read and check a pairs file. Raises DataError with file, row and column."""
    pairs = read_table(path)
    check_pairs(pairs, heads, str(path))
    return pairs


def candidate_lists(pairs: pl.DataFrame, heads: Sequence[str]) -> Iterator[CandidateList]:
    """Group rows back into lists, in the order of the file."""
    for (list_id,), rows in pairs.group_by(["list_id"], maintain_order=True):
        labels = {head: rows[head].fill_null(np.nan).to_numpy() for head in heads}
        features = {
            name.removeprefix(PREFIX): rows[name].fill_null(np.nan).to_numpy()
            for name in rows.columns
            if name.startswith(PREFIX)
        }
        texts = tuple(rows["candidate"])
        yield CandidateList(str(list_id), rows["source"][0], rows["member"][0], texts, labels, features)


def labelled_for(lists: Iterable[CandidateList], heads: Sequence[str]) -> list[CandidateList]:
    """The lists with labels of `heads` only, NaN for a head that a list has no labels of."""
    return [
        replace(each, labels={head: each.labels.get(head, np.full(len(each), np.nan)) for head in heads})
        for each in lists
    ]


def by_list(values: np.ndarray, lists: Sequence[CandidateList]) -> list[np.ndarray]:
    """Split values of all pairs, in order, by list: [pairs, ...] -> [candidates of a list, ...] each."""
    return np.split(values, np.cumsum([len(each) for each in lists])[:-1])


def some_lists(pairs: pl.DataFrame, count: int | None, seed: int) -> pl.DataFrame:
    """All rows of `count` random lists (None: of all lists), in the order of the file."""
    if count is None:
        return pairs
    ids = pairs["list_id"].unique(maintain_order=True)
    return pairs.filter(pl.col("list_id").is_in(ids.sample(min(count, len(ids)), seed=seed).to_list()))


def some_drawn(lists: Sequence[CandidateList], count: int | None, seed: int) -> list[CandidateList]:
    """`count` random lists (None: all), in order."""
    if count is None or count >= len(lists):
        return list(lists)
    return [lists[row] for row in sorted(random.Random(seed).sample(range(len(lists)), count))]


def some_of_each(lists: Sequence[CandidateList], count: int | None, seed: int) -> list[CandidateList]:
    """`count` random lists of each source (None: all), source by source."""
    sources = sorted({each.source for each in lists})
    drawn = [some_drawn([each for each in lists if each.source == source], count, seed) for source in sources]
    return [each for some in drawn for each in some]


def read_lists(folder: Path, heads: Sequence[str], split: Split, name: str = "pairs") -> list[CandidateList]:
    """All lists of one split from a file of the folder that step `data` wrote; only `pairs` must have any."""
    path = folder / f"{name}.parquet"
    if name != "pairs" and not read_table(path).height:
        return []
    pairs = read_pairs(path, heads)
    return list(candidate_lists(pairs.filter(pl.col("split") == split), heads))
