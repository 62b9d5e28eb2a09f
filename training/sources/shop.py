"""A shop: products, and queries with labels for some of them -> candidate lists. Knows no file.

The hash that splits the golden set also splits queries, so its held-out queries are held out here too. A product that
was judged for a held-out query is in no training list, neither as a positive nor as a negative.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from models.template import Fields
from training.data.lists import FieldList, Split, split_of

LABELS = {"E": 4, "S": 2, "C": 1, "I": 0}
"""Exact, Substitute, Complement and Irrelevant as overall grades of the products policy."""
GAINS = {label: grade / 4 for label, grade in LABELS.items()}
"""By the policy. Reddy et al. (arXiv 2206.06588) use gains of 1, 0.1, 0.01 and 0 in NDCG; `exact_lists` come close."""
EXACT = {"E": 1.0, "S": 0.0, "C": 0.0, "I": 0.0}
TRAIN, VALID = 0.6, 0.15
"""Shares of the queries. There are about a hundred, so the usual 12 % for testing would be too few."""


@dataclass(frozen=True)
class Query:
    """A shopper's query, and the labels of products for it, by product id."""

    query_id: str
    text: str
    labels: Mapping[str, str]

    @property
    def split(self) -> Split:
        """Stable when the data grows."""
        return split_of(self.query_id, TRAIN, VALID)


@dataclass(frozen=True)
class Shop:
    """Products by their ids, and queries."""

    products: Mapping[str, Fields]
    queries: Sequence[Query]

    def of(self, split: Split) -> list[Query]:
        """The queries of a split."""
        return [query for query in self.queries if query.split == split]

    def judged_for(self, *splits: Split) -> list[str]:
        """Products that were judged for any query of the splits."""
        return sorted({product for query in self.queries if query.split in splits for product in query.labels})

    @cached_property
    def trainable(self) -> list[str]:
        """Products that were judged for no held-out query, not even under another id."""
        held_out = self.judged_for("valid", "test")
        titles = {self.products[product]["title"] for product in held_out}
        return [product for product in sorted(self.products) if self.products[product]["title"] not in titles]

    @cached_property
    def described(self) -> list[str]:
        """Trainable products with more text than their title."""
        return [product for product in self.trainable if self.products[product].get("bullet_points")]


def judged_lists(shop: Shop, split: Split) -> Iterator[FieldList]:
    """All judged products of each query of a split. Most are relevant, so even a random order scores high."""
    for query in shop.of(split):
        yield _query_list(shop, query, f"judged/{query.query_id}", list(query.labels), [], GAINS)


def exact_lists(shop: Shop, split: Split) -> Iterator[FieldList]:
    """The same with a gain for exact matches only: their AUC is that of E against the rest."""
    for query in shop.of(split):
        yield _query_list(shop, query, f"exact/{query.query_id}", list(query.labels), [], EXACT)


def mixed_lists(shop: Shop, split: Split, *, others: int, seed: int) -> Iterator[FieldList]:
    """The same among `others` products of the split's other queries, presumed irrelevant and not judged."""
    random_, pool = random.Random(seed), shop.judged_for(split)
    for query in shop.of(split):
        negatives = _negatives(pool, query.labels, others, random_)
        yield _query_list(shop, query, f"mixed/{query.query_id}", list(query.labels), negatives, GAINS)


def training_lists(shop: Shop, *, copies: int, judged: int, others: int, seed: int) -> Iterator[FieldList]:
    """`copies` lists of each training query: `judged` products of its own, and `others` presumed irrelevant."""
    random_ = random.Random(seed)
    for copy in range(copies):
        for query in shop.of("train"):
            usable = [product for product in shop.trainable if product in query.labels]
            chosen = random_.sample(usable, min(len(usable), judged))
            negatives = _negatives(shop.trainable, query.labels, others, random_)
            yield _query_list(shop, query, f"judged/{query.query_id}/{copy}", chosen, negatives, GAINS)


def _query_list(
    shop: Shop, query: Query, list_id: str, own: Sequence[str], negatives: Sequence[str], gains: Mapping[str, float]
) -> FieldList:
    candidates = [shop.products[product] for product in (*own, *negatives)]
    labels = {"relevance": [gains[query.labels[product]] for product in own] + [0.0] * len(negatives)}
    source = list_id.partition("/")[0]
    return FieldList(list_id, source, query.split, {"query": query.text}, candidates, labels)


def _negatives(pool: Sequence[str], known: Collection[str], count: int, random_: random.Random) -> list[str]:
    drawn = random_.sample(pool, min(len(pool), count + len(known)))
    return [product for product in drawn if product not in known][:count]


def phrase_lists(shop: Shop, *, count: int, candidates: int, seed: int) -> Iterator[FieldList]:
    """Training lists of some words of a product's title against product texts without titles, its own first.

    Queries made from the item to find, as for known-item search (Azzopardi et al., SIGIR 2007); the others are presumed
    irrelevant. No phrase is the text of a held-out query.
    """
    random_ = random.Random(seed)
    held_out = {query.text.lower() for query in shop.queries if query.split != "train"}
    for index, product in enumerate(random_.choices(shop.described, k=count)):
        phrase = _phrase(str(shop.products[product]["title"]), random_)
        if phrase.lower() not in held_out:
            fields = _untitled(shop, product, candidates, random_)
            gains = {"relevance": [1.0] + [0.0] * (len(fields) - 1)}
            yield FieldList(f"phrases/{index}", "phrases", "train", {"query": phrase}, fields, gains)


def rehearsal_lists(shop: Shop, *, count: int, candidates: int, seed: int) -> Iterator[FieldList]:
    """Training lists of a product's whole title against product texts without titles; without gains."""
    random_ = random.Random(seed)
    for index, product in enumerate(random_.choices(shop.described, k=count)):
        fields = _untitled(shop, product, candidates, random_)
        member: Fields = {"query": shop.products[product]["title"]}
        yield FieldList(f"rehearsal/{index}", "rehearsal", "train", member, fields, {})


def _untitled(shop: Shop, product: str, count: int, random_: random.Random) -> list[Fields]:
    chosen = [product, *_negatives(shop.described, {product}, count - 1, random_)]
    return [{name: text for name, text in shop.products[each].items() if name != "title"} for each in chosen]


def _phrase(title: str, random_: random.Random) -> str:
    """Three to six consecutive words of the first ten, which name brand and kind."""
    words, length = title.split()[:10], random_.randint(3, 6)
    start = random_.randint(0, max(0, len(words) - length))
    return " ".join(words[start : start + length]).strip(" ,;:|-&()")
