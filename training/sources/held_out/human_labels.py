"""Products labelled by people (ESCI) as a held-out set: the subset with whole texts, and further labels with titles.

About 750 queries are too few to hold out most of them, so models may be cross-fitted: `fold_of` says which of five
models must not have seen a query.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import polars as pl

from models.template import Fields
from training.data.held_out import ALL, HeldOutList, HeldOutSet
from training.data.lists import FieldList
from training.data.source_files import SourceFiles
from training.data.tables import DataError, read_table
from training.policy.policy import OVERALL
from training.sources.esci import read_shop
from training.sources.shop import GAINS, Query

FOLDS = 5
MORE_GAINS = {3: GAINS["E"], 2: GAINS["S"], 1: GAINS["C"], 0: GAINS["I"]}
WHOLE, TITLES = "whole texts", "titles only"


def fold_of(query: str) -> int:
    """The fold of a query's text, by hash, so that equal queries of two sources share a fold."""
    plain = " ".join(query.lower().split())
    return int(hashlib.sha256(f"fold {plain}".encode()).hexdigest(), 16) % FOLDS


def human_set(data: SourceFiles) -> HeldOutSet:
    """All queries with human labels; the lists of `products-v1` that it was trained on are marked."""
    lists = [_labelled(query, read.products) for read in [read_shop(data)] for query in read.queries]
    if data.has("esci_more"):
        known = {" ".join(each.cluster.lower().split()) for each in lists}
        lists += _more(data, known)
    return HeldOutSet(
        name="human labels",
        origin="labelled by people",
        about="Shoppers' queries with products that people labelled as exact, substitute, complement or irrelevant.",
        lists=tuple(lists),
        measures=("ndcg@10", "auc top grade", "pooled auc top grade", "pairs in order", "brier skill"),
        parts=(ALL, WHOLE, TITLES),
    )


def _labelled(query: Query, products: Mapping[str, Fields]) -> HeldOutList:
    own = list(query.labels)
    gains = [GAINS[query.labels[product]] for product in own]
    candidates = [{**products[product]} for product in own]
    one = FieldList(
        f"human/{query.query_id}", "human labels", "test", {"query": query.text}, candidates, {OVERALL: gains}
    )
    trained = frozenset() if query.split == "test" else frozenset({"products-v1"})
    return HeldOutList(one, query.text, {WHOLE: [True] * len(own), TITLES: [False] * len(own)}, trained)


def _more(data: SourceFiles, known: set[str]) -> list[HeldOutList]:
    path = data.path("esci_more") / "judgments.parquet"
    rows = read_table(path).with_row_index("row").filter(~pl.col("in_shared"))
    found: dict[str, list[tuple[str, float]]] = {}
    for row, query, title, grade in rows.select("row", "query", "title", "grade").iter_rows():
        if grade not in MORE_GAINS:
            raise DataError(f"{path}: row {row}, column 'grade': must be one of 3, 2, 1, 0")
        if " ".join(query.lower().split()) not in known:
            found.setdefault(query, []).append((title, MORE_GAINS[grade]))
    lists = []
    for query, judged in found.items():
        fields: list[Fields] = [{"title": title} for title, _ in judged]
        gains = {OVERALL: [gain for _, gain in judged]}
        one = FieldList(f"human more/{query}", "human labels", "test", {"query": query}, fields, gains)
        lists.append(HeldOutList(one, query, {WHOLE: [False] * len(judged), TITLES: [True] * len(judged)}))
    return lists
