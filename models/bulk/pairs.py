"""A file of pairs -> its distinct texts, and which of them each row has. Knows no model but the template of one.

member_id | member or member.FIELD ... | candidate_id | candidate or candidate.FIELD ... | feature.NAME ... | any other
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError
from models.features import NO_FEATURES, Features
from models.tables.columns import Side, as_number, contents, has_side, need
from models.tables.table import Table, read_parts, shown
from models.template import Template

FEATURE = "feature."
PART = 20_000
"""Rows that are read at once."""
SIDES: tuple[Side, Side] = ("member", "candidate")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Distinct rendered texts in the order of the file; `member_of` and `candidate_of` i32[rows] point into them.

    `features` f32[rows, features] are the model's inputs.
    """

    members: Sequence[str]
    candidates: Sequence[str]
    member_of: NDArray[np.int32]
    candidate_of: NDArray[np.int32]
    features: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.member_of)


def tables(path: Path, columns: Mapping[str, str]) -> Iterator[Table]:
    """The file in parts, with `columns` under other names. Raises DataError, also for a missing side."""
    for table in read_parts(path, PART):
        named = table.renamed(columns)
        for side in SIDES:
            need(named, has_side(named, side), f"there is no column {side!r} and no {side}.FIELD", side)
        yield named


def read_pairs(parts: Iterable[Table], template: Template, features: Features = NO_FEATURES) -> Pairs:
    """Render every row by the bundle's template, and read its features. Raises DataError with file, row and column."""
    members: dict[str, int] = {}
    candidates: dict[str, int] = {}
    member_of: list[NDArray[np.int32]] = []
    candidate_of: list[NDArray[np.int32]] = []
    numbers: list[NDArray[np.float32]] = []
    for table in parts:
        own = (template.render_member(each) for each in contents(table, "member"))
        theirs = (template.render_candidate(each) for each in contents(table, "candidate"))
        member_of.append(_numbers(own, members, table.height))
        candidate_of.append(_numbers(theirs, candidates, table.height))
        numbers.append(_features(table, features))
    return Pairs(
        list(members),
        list(candidates),
        np.concatenate(member_of),
        np.concatenate(candidate_of),
        np.concatenate(numbers),
    )


def _features(table: Table, features: Features) -> NDArray[np.float32]:
    """Inputs f32[rows, features] of the columns feature.NAME; an empty cell counts as the default."""
    raw = np.full((table.height, len(features)), np.nan)
    for column in table.columns:
        if not column.startswith(FEATURE):
            continue
        name = column.removeprefix(FEATURE)
        if name not in features.names:
            known = ", ".join(features.names) or "none"
            raise DataError(f"{table.name}: column {column!r}: the bundle has no such feature, but {known}: rename it")
        for row, value in enumerate(table.values(column)):
            number = as_number(value)
            if number is None and value is not None:
                raise table.error(row, column, f"{shown(value)} is not a finite number: write one, or leave it empty")
            raw[row, features.names.index(name)] = np.nan if number is None else number
    return features.scaled(raw)


def _numbers(texts: Iterable[str], known: dict[str, int], height: int) -> NDArray[np.int32]:
    """The number of each text; a new one gets the next."""
    return np.fromiter((known.setdefault(text, len(known)) for text in texts), np.int32, height)
