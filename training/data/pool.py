"""The pool: more pairs of the texts that training has, for a teacher to label.

Lists hold what was listed for a member. Soft labels need no grade, so each member also meets candidates from the whole
range: hard (the most similar by words), near (similar), and far (any). Knows texts, not what scores them.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from training.data.lists import KEYS

BUCKETS = 4096
HARD, NEAR = 30, 300
"""Ranks by similarity: hard candidates are drawn from the first, near ones from those up to the second."""


@dataclass(frozen=True)
class PoolPlan:
    """How many members the pool has, and how many candidates of each kind each of them meets."""

    members: int
    hard: int = 10
    near: int = 10
    far: int = 10
    candidates: int = 20_000
    """At most so many distinct candidates are drawn from."""


def draw_pool(lists: pl.DataFrame, plan: PoolPlan, seed: int) -> pl.DataFrame:
    """Lists with the source `pool`, from the training lists of `lists`, without pairs that are listed there.

    Each source gives about as many members. Columns: see `training.data.lists`. A text that a held-out list has too is
    left out.
    """
    rng = np.random.default_rng(seed)
    train, held_out = lists.filter(pl.col("split") == "train"), lists.filter(pl.col("split") != "train")
    sources = train["source"].unique().sort().to_list()
    members: dict[str, None] = {}
    for source in sources:
        of_source = train.filter(pl.col("source") == source)["member"]
        members |= dict.fromkeys(_drawn(of_source, held_out["member"], -(-plan.members // len(sources)), rng))
    candidates = _drawn(train["candidate"], held_out["candidate"], plan.candidates, rng)
    places = {text: place for place, text in enumerate(candidates)}
    listed: dict[str, set[int]] = defaultdict(set)
    for member, candidate in train.select("member", "candidate").iter_rows():
        if candidate in places:
            listed[member].add(places[candidate])
    rows = []
    candidate_vectors = _vectors(candidates)
    for number, (member, vector) in enumerate(zip(members, _vectors([*members]), strict=True)):
        order = np.argsort(-(candidate_vectors @ vector), kind="stable")
        ranges = ((order[:HARD], plan.hard), (order[HARD:NEAR], plan.near), (order[NEAR:], plan.far))
        for share, count in ranges:
            free = [place for place in share.tolist() if place not in listed[member]]
            drawn = rng.permutation(len(free))[:count]
            rows += [(f"pool/{number}", "pool", "train", member, candidates[free[place]]) for place in drawn]
    return pl.DataFrame(rows, schema=dict.fromkeys(KEYS, pl.String), orient="row")


def _drawn(texts: pl.Series, held_out: pl.Series, count: int, rng: np.random.Generator) -> list[str]:
    free = sorted(set(texts.to_list()) - set(held_out.to_list()))
    return [free[place] for place in sorted(rng.choice(len(free), min(count, len(free)), replace=False))]


def _vectors(texts: Sequence[str]) -> np.ndarray:
    """Hashed words by TF-IDF, f32[texts, BUCKETS], each of length 1."""
    counts = [
        Counter(zlib.crc32(word.encode()) % BUCKETS for word in re.findall(r"\w+", text.lower())) for text in texts
    ]
    frequency = Counter(bucket for each in counts for bucket in each)
    found = np.zeros((len(texts), BUCKETS), dtype=np.float32)
    for row, each in enumerate(counts):
        for bucket, count in each.items():
            found[row, bucket] = (1 + math.log(count)) * math.log(1 + len(texts) / frequency[bucket])
    lengths: np.ndarray = np.linalg.norm(found, axis=1, keepdims=True).clip(1e-9)
    return np.asarray(found / lengths)
