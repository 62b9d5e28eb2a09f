"""Real clicks: a product made from a log of randomised tests of headlines, by its files alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training.data.impressions import SHOWN, read_impressions
from training.data.lists import SPLITS
from training.evaluation.baselines import ridge_scores
from training.metrics.rates import CERTAIN, pair_order_sums
from training.product.check.run import check_product
from training.product.new import Order, new_product
from training.product.run import product_run
from training.step_runner import run_step
from training.steps.prepare import LOG

FILE = Path(__file__).parents[3] / "training" / "datasets" / "headlines" / "log.parquet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "headlines"
    new_product(Order(folder, None, None, FILE, None, {}, 0.1, None), lambda _: 2000.0)
    return folder


def test_the_real_log_is_a_product_without_errors(folder: Path) -> None:
    assert check_product(folder).of("error") == []
    assert product_run(folder).recipe.head_names.actions == ("click",)


def test_no_click_is_lost_and_later_weeks_are_held_out(folder: Path) -> None:
    run = product_run(folder)
    run_step(LOG, run)
    log = pl.read_parquet(run.folder("log") / "impressions.parquet")
    rows = pl.read_parquet(FILE)
    assert log["shown"].sum() == rows["shown"].sum()
    assert (log["shown"] * log["click"]).sum() == pytest.approx(rows["click"].sum())
    week = dict(rows.group_by("list_id").agg(pl.col("time").max()).iter_rows())
    weeks = {split: {week[name] for name in log.filter(pl.col("split") == split)["list_id"]} for split in SPLITS}
    assert max(weeks["train"]) < min(weeks["valid"]) <= max(weeks["valid"]) < min(weeks["test"])


def test_a_ridge_regression_orders_significant_pairs_of_later_weeks_better_than_chance(folder: Path) -> None:
    run = product_run(folder)
    run_step(LOG, run)
    file = run.folder("log") / "impressions.parquet"
    train, test = (read_impressions(file, ("click",), split) for split in ("train", "test"))
    sums = [
        pair_order_sums(scores, each.labels["click"], each.labels[SHOWN], CERTAIN)
        for scores, each in zip(ridge_scores(train, test, "click"), test, strict=True)
    ]
    right, pairs = np.sum(sums, axis=0)
    assert pairs > 20
    assert right / pairs > 0.55
