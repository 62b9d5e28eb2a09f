"""The pool: members meet candidates of the whole range, nothing that is listed, and nothing that is held out."""

from __future__ import annotations

import polars as pl

from training.data.lists import KEYS
from training.data.pool import PoolPlan, draw_pool

TRADES = {"baker": "dough oven pastry", "nurse": "ward patient vaccine", "welder": "steel torch joint"}


def lists() -> pl.DataFrame:
    """Members of three trades, and candidates with a trade's words, of which the last is held out."""
    rows = []
    for trade, words in TRADES.items():
        rows += [(f"{trade} list", "one", "train", f"{trade} {words}", f"{words} job {n}") for n in range(1)]
        rows += [(f"{trade} {n}", "two", "train", f"{trade} {n}", f"{words} job {n}") for n in range(60)]
        rows += [(f"{trade} held", "one", "test", f"{trade} 5", f"{words} job 59")]
    return pl.DataFrame(rows, schema=dict.fromkeys(KEYS, pl.String), orient="row")


def of_trade(text: str) -> str:
    return next(trade for trade, words in TRADES.items() if any(word in text for word in (trade, *words.split())))


def test_hard_candidates_are_similar_and_far_ones_are_not() -> None:
    hard, far = (
        draw_pool(lists(), PoolPlan(6, hard=number, near=0, far=20 - number), seed=0).filter(
            pl.col("member").str.len_chars() > 15
        )
        for number in (20, 0)
    )
    same = [
        [
            of_trade(member) == of_trade(candidate)
            for member, candidate in pool.select("member", "candidate").iter_rows()
        ]
        for pool in (hard, far)
    ]
    assert all(same[0])
    assert not far.height or not all(same[1])


def test_the_pool_has_no_listed_pair_and_no_held_out_text() -> None:
    pool = draw_pool(lists(), PoolPlan(400, hard=30, near=90, far=0), seed=0)
    train = lists().filter(pl.col("split") == "train")
    assert pool.join(train, on=["member", "candidate"]).is_empty()
    assert not set(pool["candidate"]) & set(lists().filter(pl.col("split") == "test")["candidate"])
    assert not set(pool["member"]) & set(lists().filter(pl.col("split") == "test")["member"])
    assert not pool.select("member", "candidate").is_duplicated().any()
    assert set(pool["split"]) == {"train"}


def test_a_small_source_gives_as_many_members_as_a_large_one() -> None:
    pool = draw_pool(lists(), PoolPlan(6, hard=5, near=5, far=5), seed=0)
    members = pool["member"].unique().to_list()
    assert sum(len(member) > 15 for member in members) == 3
    assert len(members) == 6


def test_the_same_seed_draws_the_same() -> None:
    plan = PoolPlan(6, hard=5, near=5, far=5)
    assert draw_pool(lists(), plan, 1).equals(draw_pool(lists(), plan, 1))
    assert not draw_pool(lists(), plan, 1).equals(draw_pool(lists(), plan, 2))
