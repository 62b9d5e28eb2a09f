"""Product search (Amazon Shopping Queries, ESCI): here only as real, noisy texts about something else than jobs.

The lists have no gains. A model that goes on placing product texts where its backbone put them keeps what it knew of
language outside its own grades.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from training.data import FieldList


def unjudged_lists(data: Path, *, count: int, candidates: int, seed: int) -> Iterator[FieldList]:
    """Training lists of a product's description against product titles, its own among them; nothing is judged."""
    random_ = random.Random(seed)
    products = pl.read_parquet(data / "esci/products.parquet").filter(pl.col("title").str.len_chars() > 0)
    told = pl.col("bullet_points").str.len_chars() > 0
    titles = products["title"].to_list()
    for index, row in enumerate(products.filter(told).sample(count, seed=seed).iter_rows(named=True)):
        others = [title for title in random_.sample(titles, candidates) if title != row["title"]]
        fields = [{"title": title} for title in [row["title"], *others][:candidates]]
        member = {"experience": row["bullet_points"].split("\n")}
        yield FieldList(f"products/{index}", "products", "train", member, fields, {})
