"""Career moves: a member's history against the title of the job they took next. Evaluation only; nothing of it ships.

The next job's description was written by the same person and is left out. Negatives are titles of other moves: they
were not taken, which does not mean that they would not fit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import polars as pl

from models.template import Fields
from training.data.lists import FieldList
from training.data.source_files import SourceFiles


def move_lists(data: SourceFiles, *, count: int, negatives: int, seed: int) -> Iterator[FieldList]:
    """One list for each of `count` members, from a random move to a different title: the title taken among others."""
    random_ = random.Random(seed)
    path = data.path("evaluation_only/career_moves/career_moves.parquet")
    moves = pl.read_parquet(path).filter(~pl.col("same_title"))
    titles = sorted(set(moves["next_title"].to_list()))
    by_member = moves.sample(fraction=1.0, shuffle=True, seed=seed).unique(
        "member_id", keep="first", maintain_order=True
    )
    for row in by_member.head(count).iter_rows(named=True):
        own, history = row["next_title"], [*reversed(row["hist_titles"])]
        drawn = random_.sample(titles, min(negatives + 5, len(titles)))
        others = [title for title in drawn if title.lower() != own.lower()][:negatives]
        last = next((text for text in reversed(row["hist_descs"]) if text), "")
        member: Fields = {"headline": history[0], "experience": [*history[1:4], last]}
        candidates = [{"title": title} for title in (own, *others)]
        gains = {"relevance": [1.0] + [0.0] * len(others)}
        yield FieldList(f"career_moves/{row['member_id']}", "career_moves", "test", member, candidates, gains)
