"""Career moves: a member's history against the title of the job they took next. Evaluation only, nothing trains on it.

The next job's description was written by the same person and is left out. Negatives are other moves' titles
and unobserved: they say what was not taken, not what would not fit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from training.data import FieldList


def move_lists(data: Path, *, count: int, negatives: int, seed: int) -> Iterator[FieldList]:
    """One list for each of `count` members (a random move of each to a different title):
    the title taken among others.
    """
    random_ = random.Random(seed)
    moves = pl.read_parquet(data / "evaluation_only/career_moves/career_moves.parquet").filter(~pl.col("same_title"))
    titles = sorted(set(moves["next_title"].to_list()))
    by_member = moves.sample(fraction=1.0, shuffle=True, seed=seed).unique(
        "member_id", keep="first", maintain_order=True
    )
    for row in by_member.head(count).iter_rows(named=True):
        own = {row["next_title"].lower()}
        others = [title for title in random_.sample(titles, negatives + 5) if title.lower() not in own][:negatives]
        history = [*reversed(row["hist_titles"])]
        last = next((text for text in reversed(row["hist_descs"]) if text), "")
        member = {"headline": history[0], "experience": [*history[1:4], last]}
        candidates = [{"title": title} for title in (row["next_title"], *others)]
        gains = {"relevance": [1.0] + [0.0] * len(others)}
        yield FieldList(f"career_moves/{row['member_id']}", "career_moves", "test", member, candidates, gains)
