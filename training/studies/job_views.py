"""Views on a job board, 2014 to 2015: a member's earlier views, and the job they opened next. Evaluation only.

There are no impressions: jobs that were shown and not opened are unknown, and so are positions. Negatives are jobs of
the same state and split that the member never opened. Splits are by time, and each view is in one split only.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import polars as pl

from models.template import Fields
from training.data.lists import FieldList, Split
from training.data.source_files import SourceFiles

VALID_FROM, TEST_FROM = "2015-01-25", "2015-02-01"
KEPT_TITLES = 5
Profiles = dict[Any, list[tuple[str, str]]]
"""Past positions of each member, each with the time when it was entered."""


def next_views(data: SourceFiles, *, per_member: int, negatives: int, seed: int) -> Iterator[FieldList]:
    """Up to `per_member` views of each member and split under head `view`.

    A view counts if the member has an earlier view or profile entry, and if its title is new to them: opening the same
    job again shows no preference. Negatives are jobs that counted views of other members opened.
    """
    random_ = random.Random(seed)
    views = pl.read_parquet(data.path("evaluation_only/job_views_2014/views.parquet")).sort("view_start")
    chosen = list(_chosen(views, _profiles(data), per_member, random_))
    opened: dict[int, set[int]] = defaultdict(set)
    nearby: dict[tuple[Split, str], dict[int, Fields]] = defaultdict(dict)
    for row in views.iter_rows(named=True):
        opened[row["applicant_id"]].add(row["job_id"])
    for row, _ in chosen:
        nearby[_split(row), row["state_code"]][row["job_id"]] = _job(row)
    for row, member in chosen:
        pool = nearby[_split(row), row["state_code"]]
        others = [pool[job] for job in sorted(set(pool) - opened[row["applicant_id"]])]
        if len(others) >= negatives:
            yield _list(row, member, random_.sample(others, negatives), _split(row))


def _chosen(
    views: pl.DataFrame, profiles: Profiles, per_member: int, random_: random.Random
) -> Iterator[tuple[dict[str, Any], Fields]]:
    """Random counted views of each member and split, with the member's earlier history."""
    for (applicant,), rows in views.group_by(["applicant_id"], maintain_order=True):
        past: list[dict[str, Any]] = []
        found: dict[Split, list[tuple[dict[str, Any], Fields]]] = defaultdict(list)
        for row in rows.iter_rows(named=True):
            member = _member(past, [title for when, title in profiles[applicant] if when < row["view_start"]])
            if member and row["title"].lower() not in {each["title"].lower() for each in past}:
                found[_split(row)].append((row, member))
            past.append(row)
        for usable in found.values():
            yield from random_.sample(usable, min(per_member, len(usable)))


def _profiles(data: SourceFiles) -> Profiles:
    """Profile entries of each member with their times: an entry may be later than a view."""
    path = data.path("evaluation_only/job_views_2014/experience.parquet")
    found: Profiles = defaultdict(list)
    for row in pl.read_parquet(path).drop_nulls("position_name").iter_rows(named=True):
        found[row["applicant_id"]].append((row["created_at"], row["position_name"]))
    return found


def _split(row: dict[str, Any]) -> Split:
    return "train" if row["view_start"] < VALID_FROM else "valid" if row["view_start"] < TEST_FROM else "test"


def _member(past: list[dict[str, Any]], positions: list[str]) -> Fields:
    """Titles opened last, newest first, with the newest one's city; and past positions. Empty without any."""
    titles = list(dict.fromkeys(each["title"] for each in reversed(past)))[:KEPT_TITLES]
    known: dict[str, str | list[str]] = {}
    if titles:
        known["headline"] = [f"{titles[0]}, {past[-1]['city']}", *titles[1:]]
    if positions:
        known["experience"] = positions[:KEPT_TITLES]
    return known


def _job(row: dict[str, Any]) -> Fields:
    return {"title": f"{row['title']}, {row['city']}"}


def _list(row: dict[str, Any], member: Fields, others: list[Fields], split: Split) -> FieldList:
    gains = {"view": [1.0] + [0.0] * len(others)}
    return FieldList(f"job_views/{row['applicant_id']}", "job_views", split, member, [_job(row), *others], gains)
