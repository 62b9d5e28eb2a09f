"""The lists on which prompting is measured: held-out lists of the report, under the same names and with the same gains.

A list may hold a part of its candidates (the pairs that a judge graded); `places` says which.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from training.data.held_out import HeldOutList, HeldOutSet
from training.data.lists import FieldList
from training.data.source_files import SourceFiles
from training.data.tables import DataError, check_columns, empty, read_table
from training.policy.policy import OVERALL, Policy
from training.sources.esci import read_shop
from training.sources.held_out.human_labels import human_set
from training.sources.judged import DATASETS

HUMAN_PAIRS = DATASETS / "judged_products" / "human_pairs_grades.parquet"
Grades = Mapping[str, int | None]
"""A pair's grade by dimension."""
Pair = tuple[str, str]


@dataclass(frozen=True)
class MeasuredSet:
    """Lists of a held-out set, and the places that their candidates have in it."""

    held_out: HeldOutSet
    places: Sequence[Sequence[int]]

    @property
    def lists(self) -> list[FieldList]:
        return [each.list for each in self.held_out.lists]


def some_of(held_out: HeldOutSet, count: int | None) -> MeasuredSet:
    """`count` lists of the set (None: all), always the same ones; a larger count adds to those of a smaller one."""
    rows = list(range(len(held_out.lists)))
    random.Random(0).shuffle(rows)
    rows = sorted(rows[:count])
    kept = tuple(held_out.lists[row] for row in rows)
    return MeasuredSet(replace(held_out, lists=kept), [range(len(each.list.candidates)) for each in kept])


def read_grades(path: Path, keys: Pair, policy: Policy) -> dict[Pair, dict[str, int | None]]:
    """A table of judged grades -> the grades of each pair. Raises DataError with file, row and column."""
    table = read_table(path)
    problems = {"dimension": (~pl.col("dimension").is_in(policy.dimension_names), f"not of {policy.label}")}
    problems["grade"] = (~pl.col("grade").is_between(0, 4), "must be a grade from 0 to 4, or null")
    check_columns(table.cast(dict.fromkeys(keys, pl.String)), {**{k: empty(k) for k in keys}, **problems}, str(path))
    found: dict[Pair, dict[str, int | None]] = {}
    for member, candidate, dimension, grade in table.select(*keys, "dimension", "grade").iter_rows():
        found.setdefault((str(member), str(candidate)), {})[dimension] = grade
    return found


@dataclass(frozen=True)
class HumanJudged:
    """Products that people labelled and the large judge graded: the lists, and the judge's grades of each candidate."""

    lists: MeasuredSet
    judged: Sequence[Sequence[Grades]]


def human_judged(data: SourceFiles, policy: Policy, count: int | None = None, path: Path = HUMAN_PAIRS) -> HumanJudged:
    """`count` of the lists (None: all). Raises DataError for a graded pair that has no human label."""
    grades = read_grades(path, ("query_id", "doc_id"), policy)
    whole = {each.list.list_id: each for each in human_set(data).lists}
    found: list[HeldOutList] = []
    places: list[list[int]] = []
    judged: list[list[Grades]] = []
    left = set(grades)
    for query in read_shop(data).queries[:count]:
        own = [place for place, asin in enumerate(query.labels) if (query.query_id, asin) in grades]
        if own:
            asins = list(query.labels)
            pairs = [(query.query_id, asins[place]) for place in own]
            left -= set(pairs)
            found.append(_part(whole[f"human/{query.query_id}"], own))
            places.append(own)
            judged.append([grades[pair] for pair in pairs])
    if left and count is None:
        raise DataError(f"{path}: pair {min(left)}: people have not labelled it")
    about = "Pairs that people labelled and the large judge graded too."
    held_out = HeldOutSet("human labels", "labelled by people", about, tuple(found), ("ndcg@10", "pairs in order"))
    return HumanJudged(MeasuredSet(held_out, places), judged)


def _part(each: HeldOutList, places: Collection[int]) -> HeldOutList:
    candidates = [each.list.candidates[place] for place in places]
    labels = {OVERALL: [each.list.labels[OVERALL][place] for place in places]}
    one = replace(each.list, candidates=candidates, labels=labels)
    return HeldOutList(one, each.cluster, already_trained_on=each.already_trained_on)


@dataclass(frozen=True)
class JudgedTwice:
    """Pairs with the grades of two runs of the judge, in order; `members` are the clusters."""

    members: tuple[str, ...]
    first: tuple[Grades, ...]
    second: tuple[Grades, ...]


def judged_twice(policy: Policy, folder: Path = DATASETS / "judged_jobs") -> JudgedTwice:
    """All pairs of the second opinion that the first run graded. Raises DataError for one that it did not grade."""
    keys = ("member_id", "candidate_id")
    first = read_grades(folder / "grades.parquet", keys, policy)
    path = folder / "second_opinion.parquet"
    second = read_grades(path, keys, policy)
    for row, pair in enumerate(second):
        if pair not in first:
            raise DataError(f"{path}: pair {row}: the first run did not grade {pair}")
    pairs = list(second)
    return JudgedTwice(
        tuple(member for member, _ in pairs), tuple(first[pair] for pair in pairs), tuple(second.values())
    )
