"""Columns `feature.NAME` of a product's files: read, checked, suggested by `new`, and in the lists that steps read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.features import Feature, Features
from tests.support.product_files import LOG_HEADER, PAIR_HEADER, Rows, make_shop, shop, write_table
from training.dag import load_step
from training.data.features import feature_inputs
from training.data.impressions import read_impressions
from training.data.lists import read_lists
from training.data.tables import DataError
from training.product.check.run import check_product
from training.product.new import Order, new_product
from training.product.recipe import product_recipe
from training.product.run import product_run
from training.product.settings import SettingsError, read_settings
from training.recipes import find_recipe
from training.step_runner import run_step

HEADER = (*PAIR_HEADER, "feature.price", "feature.km")


def priced(rows: Rows, every: int = 10) -> Rows:
    """Rows with a price of their own, and a distance that is missing in each `every`-th."""
    return [[*row, str(5 + number % 100), "" if number % every == 0 else "2.5"] for number, row in enumerate(rows)]


def make(folder: Path, pairs: Rows, log: Rows | None = None) -> Path:
    """A product whose pairs, and whose log if there is one, have features."""
    order = Order(
        folder=folder / "shop",
        policy=None,
        pairs=write_table(folder / "pairs.csv", HEADER, pairs),
        log=write_table(folder / "log.csv", (*LOG_HEADER, "feature.price"), log) if log else None,
        candidates=None,
        columns={},
        hours=0.05,
        encoder=None,
    )
    assumed = new_product(order, lambda _: 2000.0)
    assert any(each.startswith("features: price ") for each in assumed)
    assert not any("not used" in each for each in assumed)
    return order.folder


def declare(folder: Path, *features: Feature) -> None:
    """Replace the features of the settings."""
    path = folder / "product.toml"
    before, _, after = path.read_text().partition("features = [\n")
    rows = "".join(
        f'    {{ name = "{each.name}", unit = "{each.unit}", low = {each.low}, high = {each.high},'
        f" default = {each.default} }},\n"
        for each in features
    )
    path.write_text(f"{before}features = [\n{rows}]{after.partition(']')[2]}")


def test_a_new_product_declares_the_columns_with_ranges_that_hold_nearly_all(tmp_path: Path) -> None:
    folder = make(tmp_path, priced(shop()[0]))
    (price,) = read_settings(folder).features  # all known distances are equal, so they have no range
    assert (price.name, price.unit) == ("price", "")
    assert 5 <= price.low < 10
    assert 100 < price.high <= 104
    assert price.low < price.default < price.high
    assert product_recipe(folder).features == (price,)


def test_the_steps_read_numbers_of_pairs_and_log(tmp_path: Path) -> None:
    pairs, log, _ = shop()
    folder = make(tmp_path, priced(pairs), [[*row, str(10 + int(row[3]))] for row in log])
    km = Feature(name="km", unit="km", low=0, high=5, default=1)
    declare(folder, *read_settings(folder).features, km)
    run = product_run(folder)
    for name in ("policy", "data", "log"):
        run_step(load_step(name), run)
    frame = pl.read_parquet(run.folder("data") / "pairs.parquet")
    assert frame["feature.price"].null_count() == 0
    assert 0 < frame["feature.km"].null_count() < len(frame)
    lists = read_lists(run.folder("data"), ("relevance",), "train")
    assert all(list(each.features) == ["price", "km"] for each in lists)
    inputs = feature_inputs(Features(run.recipe.features), lists)
    assert inputs.shape == (sum(map(len, lists)), 2)
    missing = np.isnan(np.concatenate([each.features["km"] for each in lists]))
    assert set(inputs[missing, 1].tolist()) == {np.float32(0.2)}
    assert set(inputs[~missing, 1].tolist()) == {np.float32(0.5)}
    for each in read_impressions(run.folder("log") / "impressions.parquet", ("click",), "train"):
        np.testing.assert_array_equal(each.features["price"], 10 + each.labels["position"])
        assert np.isnan(each.features["km"]).all()


@pytest.mark.parametrize("cell", ["cheap", "1,5", "nan", "inf", "true", "12 EUR"])
def test_a_cell_that_is_no_number_is_named_with_its_row(tmp_path: Path, cell: str) -> None:
    rows = priced(shop(members=20)[0])
    rows[3][-2] = cell
    with pytest.raises(DataError, match=r"pairs\.csv: row 3 \(line 5\), column 'feature\.price': .* is no number"):
        make(tmp_path, rows)


def test_the_check_states_each_feature_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    folder = make(tmp_path, priced(shop()[0], every=2))
    narrow = Feature(name="price", unit="EUR", low=50, high=60, default=55)
    declare(folder, narrow, Feature(name="age", unit="days", low=0, high=9, default=1))
    report = check_product(folder)
    found = [f"{each.level}: {each.sentence}" for each in report.findings if each.check == "features"]
    assert found[0] == "error: no row has a number in feature.age: add them, or drop the feature"
    assert found[1] == "warning: the column feature.km is not used: declare it in `features`"
    assert found[2].endswith("of the numbers of feature.price are outside of 50 to 60: they count as the bound")
    (figures,) = [each for each in report.figures if each.title == "Features"]
    assert figures.rows[0][:6] == ("price", "EUR", "5", "53", "104", "50 to 60")
    declare(folder, Feature(name="km", unit="km", low=0, high=9, default=1))
    sentences = [each.sentence for each in check_product(folder).findings if each.check == "features"]
    assert "feature.km is the same in every row: nothing can be learnt of it" in sentences
    assert "50% of the rows have no feature.km" not in " ".join(sentences)


def test_features_are_declared_once_and_with_a_range(tmp_path: Path) -> None:
    folder = make(tmp_path, priced(shop()[0]))
    (price,) = read_settings(folder).features
    declare(folder, price, price)
    with pytest.raises(SettingsError, match="features: two have the same name"):
        read_settings(folder)
    path = folder / "product.toml"
    path.write_text(path.read_text().replace(f"high = {price.high}", f"high = {price.low}"))
    with pytest.raises(SettingsError, match=r"features\.0 is .*low must be below high"):
        read_settings(folder)


def test_a_product_without_such_columns_declares_none(tmp_path: Path) -> None:
    folder = make_shop(tmp_path, shop()[0])
    assert read_settings(folder).features == ()
    assert "features = []" in (folder / "product.toml").read_text()
    assert [each for each in check_product(folder).findings if each.check == "features"] == []


def test_a_recipe_with_features_has_a_split_student() -> None:
    price = Feature(name="price", unit="EUR", low=0, high=9, default=1)
    assert find_recipe("demo").student.split is None
    with pytest.raises(ValueError, match="features need a split student"):
        replace(find_recipe("demo"), features=(price,))
