"""Product search (Amazon Shopping Queries, ESCI): a shop with human labels, and texts without grades.

For the jobs product these are real, noisy texts about other things, so those lists have no gains. A model that
keeps the backbone's embeddings of product texts keeps what it knew of language outside its own grades.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import polars as pl

from training.data.lists import FieldList
from training.data.source_files import SourceFiles
from training.data.tables import DataError
from training.judging.golden_set import GradedPair, HumanGrade, HumanGrades
from training.policy.policy import OVERALL
from training.sources.shop import LABELS, Query, Shop

PRODUCT_FIELDS = ("title", "brand", "color", "bullet_points", "description")


def unjudged_lists(data: SourceFiles, *, count: int, candidates: int, seed: int) -> Iterator[FieldList]:
    """Training lists of a product's description against product titles, its own included; without gains."""
    random_ = random.Random(seed)
    products = pl.read_parquet(data.path("esci/products.parquet")).filter(pl.col("title").str.len_chars() > 0)
    described = pl.col("bullet_points").str.len_chars() > 0
    titles = products["title"].to_list()
    for index, row in enumerate(products.filter(described).sample(count, seed=seed).iter_rows(named=True)):
        others = [title for title in random_.sample(titles, candidates) if title != row["title"]]
        fields = [{"title": title} for title in [row["title"], *others][:candidates]]
        member = {"experience": row["bullet_points"].split("\n")}
        yield FieldList(f"products/{index}", "products", "train", member, fields, {})


def read_shop(data: SourceFiles) -> Shop:
    """Products and labelled queries. Raises DataError for an unknown label or product."""
    rows = pl.read_parquet(data.path("esci/products.parquet")).iter_rows(named=True)
    products = {row["asin"]: {name: row[name] for name in PRODUCT_FIELDS if row[name]} for row in rows}
    judged = pl.read_parquet(data.path("esci/judgments.parquet")).select("query_id", "query", "doc_id", "label")
    texts: dict[str, str] = {}
    labels: dict[str, dict[str, str]] = {}
    for row, (query_id, query, asin, label) in enumerate(judged.iter_rows()):
        if label not in LABELS:
            raise DataError(f"judgments.parquet: row {row}, column 'label': must be one of {', '.join(LABELS)}")
        if asin not in products:
            raise DataError(f"judgments.parquet: row {row}, column 'doc_id': no such product in products.parquet")
        texts[str(query_id)] = query
        labels.setdefault(str(query_id), {})[asin] = label
    return Shop(products, [Query(query_id, text, labels[query_id]) for query_id, text in texts.items()])


def shopping_grades(data: SourceFiles) -> HumanGrades:
    """The labels of queries and products as overall grades of the products policy.

    There is one rater: the source published its adjudicated label only.
    """
    shop = read_shop(data)
    judged = [(query, asin, label) for query in shop.queries for asin, label in query.labels.items()]
    return HumanGrades(
        origin="esci",
        pairs=[
            GradedPair(query.query_id, asin, {"query": query.text}, shop.products[asin]) for query, asin, _ in judged
        ],
        grades=[HumanGrade(query.query_id, asin, OVERALL, "esci", LABELS[label]) for query, asin, label in judged],
        authority=("esci",),
        about=(
            "Labels of the Shopping Queries Dataset judge the whole pair: Exact 4, Substitute 2, Complement 1,"
            " Irrelevant 0. Only the adjudicated label was published."
        ),
    )
