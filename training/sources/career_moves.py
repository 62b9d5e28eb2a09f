"""Career moves: a member's history against the title of the job they took next. Evaluation only; nothing of it ships.

The next job's description was written by the same person and is left out. Negatives are titles of other moves: they
were not taken, which does not mean that they would not fit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from models.template import Fields
from training.data.lists import FieldList, Split
from training.data.source_files import SourceFiles


def move_lists(data: SourceFiles, *, count: int, negatives: int, seed: int) -> Iterator[FieldList]:
    """One list for each of `count` members, from a random move to a different title: the title taken among others."""
    random_ = random.Random(seed)
    moves = _moves(data)
    titles = sorted(set(moves["next_title"].to_list()))
    by_member = moves.sample(fraction=1.0, shuffle=True, seed=seed).unique(
        "member_id", keep="first", maintain_order=True
    )
    for row in by_member.head(count).iter_rows(named=True):
        yield _list(row, _others(random_, titles, row["next_title"], negatives), "test", "relevance")


def moves_by_member(data: SourceFiles, *, per_member: int, negatives: int, seed: int) -> Iterator[FieldList]:
    """Up to `per_member` moves of each member under head `move`; each member is in one split only (70, 10, 20 %).

    Negatives come from the moves of the member's own split, so every title of a split occurs as a positive in it.
    """
    random_ = random.Random(seed)
    moves = _moves(data).sample(fraction=1.0, shuffle=True, seed=seed)
    members = moves["member_id"].unique(maintain_order=True).to_list()
    place = {member: index / len(members) for index, member in enumerate(members)}
    parts: dict[Split, list[dict[str, Any]]] = {"train": [], "valid": [], "test": []}
    for (member,), rows in moves.group_by(["member_id"], maintain_order=True):
        split: Split = "train" if place[member] < 0.7 else "valid" if place[member] < 0.8 else "test"
        parts[split].extend(rows.head(per_member).iter_rows(named=True))
    for split, rows_ in parts.items():
        titles = sorted({row["next_title"] for row in rows_})
        for row in rows_:
            yield _list(row, _others(random_, titles, row["next_title"], negatives), split, "move")


def _moves(data: SourceFiles) -> pl.DataFrame:
    path = data.path("evaluation_only/career_moves/career_moves.parquet")
    return pl.read_parquet(path).filter(~pl.col("same_title"))


def _others(random_: random.Random, titles: list[str], own: str, count: int) -> list[str]:
    drawn = random_.sample(titles, min(count + 5, len(titles)))
    return [title for title in drawn if title.lower() != own.lower()][:count]


def _list(row: Mapping[str, Any], others: list[str], split: Split, head: str) -> FieldList:
    history = [*reversed(row["hist_titles"])]
    last = next((text for text in reversed(row["hist_descs"]) if text), "")
    member: Fields = {"headline": history[0], "experience": [*history[1:4], last]}
    candidates = [{"title": title} for title in (row["next_title"], *others)]
    gains = {head: [1.0] + [0.0] * len(others)}
    return FieldList(f"career_moves/{row['member_id']}", "career_moves", split, member, candidates, gains)
