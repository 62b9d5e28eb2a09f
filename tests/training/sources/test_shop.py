"""Product search: labels become gains, and held-out data never reaches training, in made-up and real data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from training.data.lists import SPLITS, FieldList, render_lists, split_of
from training.data.source_files import SourceFiles
from training.data.tables import DataError
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.recipes import find_recipe, products
from training.sources.esci import read_shop, shopping_grades
from training.sources.shop import (
    GAINS,
    LABELS,
    Query,
    Shop,
    exact_lists,
    judged_lists,
    mixed_lists,
    phrase_lists,
    rehearsal_lists,
    training_lists,
)

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"there is no real data in {DATA}")
Lists = Callable[[Shop], Iterator[FieldList]]


def shop() -> Shop:
    """Thirty queries of four products, one of each label; consecutive queries share their exact product."""
    names = [f"{number}{label}" for number in range(30) for label in "ESCI"]
    titled = {name: {"title": f"the fine title words of {name}", "bullet_points": f"text {name}"} for name in names}
    own = [{f"{number}{label}": label for label in "ESCI"} for number in range(30)]
    queries = [
        Query(str(number), f"query {number}", {**own[number], f"{(number + 1) % 30}E": "I"}) for number in range(30)
    ]
    return Shop({**titled, "unjudged": {"title": "the title of an unjudged product", "bullet_points": "x"}}, queries)


TRAINING: dict[str, Lists] = {
    "training": lambda shop: training_lists(shop, copies=3, judged=3, others=2, seed=0),
    "phrases": lambda shop: phrase_lists(shop, count=60, candidates=4, seed=0),
    "rehearsal": lambda shop: rehearsal_lists(shop, count=60, candidates=4, seed=0),
}


def texts(lists: Iterator[FieldList]) -> set[object]:
    return {candidate["bullet_points"] for each in lists for candidate in each.candidates}


@pytest.mark.parametrize("name", TRAINING)
def test_products_of_a_held_out_query_are_in_no_training_list(name: str) -> None:
    made = shop()
    held = {f"text {product}" for query in made.queries if query.split != "train" for product in query.labels}
    seen = texts(TRAINING[name](made))
    assert seen
    assert not held & seen
    everyone = replace(made, queries=[query for query in made.queries if query.split == "train"])
    assert held & texts(TRAINING[name](everyone))  # they are kept out for being held out, and for nothing else


@pytest.mark.parametrize("name", TRAINING)
def test_a_held_out_product_is_not_trained_on_under_another_id(name: str) -> None:
    made = shop()
    held_out = made.products[made.judged_for("test")[0]]
    twin = replace(made, products={**made.products, "twin": {**held_out, "bullet_points": "the twin's"}})
    assert "the twin's" not in texts(TRAINING[name](twin))
    other = replace(
        made, products={**made.products, "twin": {"title": "one more title", "bullet_points": "the twin's"}}
    )
    assert "twin" in other.trainable


def test_no_phrase_is_the_text_of_a_held_out_query() -> None:
    made = shop()
    queries = [replace(q, text="The Fine title") if q.split == "test" else q for q in made.queries]
    phrases = {
        each.member["query"] for each in phrase_lists(replace(made, queries=queries), count=200, candidates=2, seed=0)
    }
    assert "the fine title" not in phrases
    assert "the fine title" in {each.member["query"] for each in phrase_lists(made, count=200, candidates=2, seed=0)}


def test_gains_follow_the_policy_and_other_products_have_none() -> None:
    made = shop()
    (first, *_) = mixed_lists(made, "test", others=5, seed=0)
    query = next(query for query in made.queries if f"mixed/{query.query_id}" == first.list_id)
    gains = first.labels["relevance"]
    assert list(gains) == [1.0, 0.5, 0.25, 0.0, 0.0] + [0.0] * 5
    strangers = {str(candidate["bullet_points"]).removeprefix("text ") for candidate in first.candidates[5:]}
    assert len(strangers) == 5
    assert not strangers & set(query.labels)
    assert max(LABELS.values()) == 4
    assert "the gain of a pair is its overall grade divided by four" in " ".join(
        (POLICIES / "products.md").read_text(encoding="utf-8").split()
    )


def test_among_exact_lists_a_substitute_counts_as_nothing() -> None:
    made = shop()
    for judged, exact in zip(judged_lists(made, "test"), exact_lists(made, "test"), strict=True):
        assert judged.candidates == exact.candidates
        assert exact.labels["relevance"] == [float(gain == 1) for gain in judged.labels["relevance"]]


def test_queries_held_out_of_the_golden_set_are_held_out_here_too() -> None:
    splits = {name: Query(name, "", {}).split for name in map(str, range(1000))}
    assert [list(splits.values()).count(split) for split in SPLITS] == pytest.approx([600, 150, 250], abs=50)
    assert {splits[name] for name in splits if split_of(name) == "test"} == {"test"}
    assert "train" not in {splits[name] for name in splits if split_of(name) == "valid"}


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("label", "X", "row 1, column 'label': must be one of E, S, C, I"),
        ("doc_id", "b", "row 1, column 'doc_id': no such"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, column: str, value: str, told: str) -> None:
    (tmp_path / "esci").mkdir()
    product = {"asin": "a", "title": "t", "brand": None, "color": "", "bullet_points": "b", "description": ""}
    pl.DataFrame([product]).write_parquet(tmp_path / "esci/products.parquet")
    good = {"query_id": 7, "query": "q", "doc_id": "a", "label": "E"}
    pl.DataFrame([good]).write_parquet(tmp_path / "esci/judgments.parquet")
    read = read_shop(SourceFiles(tmp_path))
    assert read == Shop({"a": {"title": "t", "bullet_points": "b"}}, [Query("7", "q", {"a": "E"})])
    pl.DataFrame([good, {**good, column: value}]).write_parquet(tmp_path / "esci/judgments.parquet")
    with pytest.raises(DataError, match=told):
        shopping_grades(SourceFiles(tmp_path))


def test_the_recipe_is_complete_without_data() -> None:
    recipe = find_recipe("products")
    assert read_policy(recipe.data.policy).label == "products-policy@1.0.0"
    assert recipe.export.card.licence == "Apache-2.0"
    assert list(recipe.evaluation.floors) == ["relevance/judged/ndcg@10", "relevance/mixed/auc"]
    assert recipe.head_names.graded[0] == "relevance"
    for member, candidate in recipe.export.examples:
        assert recipe.text.template.render_member(member) == member["query"]
        assert recipe.text.template.render_candidate(candidate).startswith(candidate["title"])


@needs_data
def test_the_real_queries_split_into_enough_of_each() -> None:
    shop_ = read_shop(SourceFiles(DATA))
    assert [len(shop_.of(split)) for split in SPLITS] == [61, 16, 23]
    assert sum(len(query.labels) for query in shop_.queries) == 4454
    mean = sum(GAINS[label] for query in shop_.queries for label in query.labels.values()) / 4454
    assert mean == pytest.approx(0.657, abs=0.001)


@needs_data
def test_no_real_text_is_both_trained_on_and_held_out() -> None:
    recipe = find_recipe("products")
    pairs = render_lists(products.lists(SourceFiles(DATA)), recipe.text.template, recipe.head_names.all)
    train, held = pairs.filter(pl.col("split") == "train"), pairs.filter(pl.col("split") != "train")
    for side in ("member", "candidate"):
        assert train[side].n_unique() > 60
        assert not set(train[side].str.to_lowercase()) & set(held[side].str.to_lowercase())
    assert set(held["source"]) == {"judged", "mixed", "exact"}  # the first two have floors
    examples = {text for pair in recipe.export.examples for text in (pair[0]["query"], pair[1]["title"])}
    assert not examples & {*pairs["member"], *(str(p["title"]) for p in read_shop(SourceFiles(DATA)).products.values())}
