"""What the judge sees of a golden set: validation pairs for the gate, and training grades as precedents."""

from __future__ import annotations

import hashlib

import polars as pl

from training.judging.golden_set import PAIR
from training.judging.llm_judge import TextPair
from training.policy.prompt import Precedent


def golden_pairs(gold: pl.DataFrame, count: int) -> list[TextPair]:
    """At most `count` pairs of the golden validation split: a gate is a choice, and choices leave the test alone."""
    return _pairs(gold.filter(pl.col("split") == "valid"))[:count]


def precedents(gold: pl.DataFrame, count: int) -> list[Precedent]:
    """`count` golden training grades of each dimension, spread over its grades."""
    found: list[Precedent] = []
    rows = gold.filter(pl.col("split") == "train")
    for (dimension,), graded in rows.group_by(["dimension"], maintain_order=True):
        by_grade = [
            [Precedent(pair.member, pair.candidate, str(dimension), int(str(grade))) for pair in _pairs(some)]
            for (grade,), some in graded.sort("grade").group_by(["grade"], maintain_order=True)
        ]
        rounds = (each[turn] for turn in range(count) for each in by_grade if turn < len(each))
        found += [each for _, each in zip(range(count), rounds, strict=False)]
    return found


def _pairs(gold: pl.DataFrame) -> list[TextPair]:
    rows = gold.select(*PAIR, "member", "candidate").unique(maintain_order=True)
    return sorted((TextPair(*row) for row in rows.iter_rows()), key=order_of)


def order_of(pair: TextPair) -> bytes:
    return hashlib.sha256(f"{pair.candidate_id} {pair.member_id}".encode()).digest()
