"""A product of a log alone: actions are its heads, counts count, later lists are held out, no step needs a grade."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.support.product_files import log_alone, write_table
from training.dag import load_step
from training.data.impressions import SHOWN, read_impressions
from training.data.lists import SPLITS
from training.errors import UserError
from training.product.check.run import check_product
from training.product.new import Order, new_product
from training.product.run import product_run
from training.product.settings import SettingsError, read_settings
from training.step_runner import Run, run_step

COUNTS = ("list_id", "member", "candidate", "shown", "click", "time")


def made(folder: Path, rows: list[list[str]], header: tuple[str, ...] = COUNTS) -> tuple[Path, list[str]]:
    log = write_table(folder / "log.csv", header, rows)
    said = new_product(Order(folder / "shop", None, None, log, None, {}, 0.01, None), lambda _: 2000.0)
    return folder / "shop", said


def prepared(folder: Path, *steps: str) -> Run:
    run = product_run(folder)
    for name in steps:
        run_step(load_step(name), run)
    return run


def test_the_heads_are_the_actions_and_no_step_asks_for_a_grade(tmp_path: Path) -> None:
    folder, said = made(tmp_path, log_alone())
    run = prepared(folder, "policy", "golden", "judge", "data", "log")
    assert (run.recipe.head_names.graded, run.recipe.head_names.actions) == ((), ("click",))
    assert pl.read_parquet(run.folder("golden") / "golden.parquet").height == 0
    assert any("the latest lists are held out, by `time`" in each for each in said)
    assert [each for each in check_product(folder).of("error") if each.check != "sizes"] == []


def test_a_candidate_that_was_shown_often_counts_as_often(tmp_path: Path) -> None:
    rows = log_alone()
    rows += [[*rows[0][:3], "50", "5", rows[0][5]], [*rows[1][:2], "never shown", "0", "0", rows[1][5]]]
    folder, _ = made(tmp_path, rows)
    log = prepared(folder, "policy", "log").folder("log") / "impressions.parquet"
    lists = [each for split in SPLITS for each in read_impressions(log, ("click",), split)]
    [first] = [each for each in lists if each.list_id == rows[0][0]]
    place = first.candidates.index(rows[0][2])
    shown, clicks = int(rows[0][3]) + 50, int(rows[0][4]) + 5
    assert first.labels[SHOWN][place] == shown
    assert first.labels["click"][place] == pytest.approx(clicks / shown)
    assert "never shown" not in first.candidates


def test_later_lists_are_held_out(tmp_path: Path) -> None:
    rows = log_alone()
    folder, _ = made(tmp_path, rows)
    run = prepared(folder, "policy", "data")
    frame = pl.read_parquet(run.folder("data") / "pairs.parquet")
    weeks = {row[0]: row[5] for row in rows}
    by_split = {
        split: {weeks[list_id] for list_id in frame.filter(pl.col("split") == split)["list_id"]} for split in SPLITS
    }
    assert max(by_split["train"]) < min(by_split["valid"]) <= max(by_split["valid"]) < min(by_split["test"])


def test_a_split_that_the_log_states_wins(tmp_path: Path) -> None:
    names = ("train", "train", "valid", "test")
    rows = [[*row, names[int(row[0][1:]) % 4]] for row in log_alone()]
    folder, _ = made(tmp_path, rows, (*COUNTS, "split"))
    frame = pl.read_parquet(prepared(folder, "policy", "data").folder("data") / "pairs.parquet")
    assert {(row["list_id"], row["split"]) for row in frame.iter_rows(named=True)} == {(r[0], r[6]) for r in rows}
    rows[1][6] = "test" if rows[0][6] != "test" else "train"
    with pytest.raises(UserError, match=r"row 1 .*'split': row 0 has this list in train: one list, one split"):
        made(tmp_path / "again", rows, (*COUNTS, "split"))


def test_pairs_are_not_held_out_by_time(tmp_path: Path) -> None:
    folder, _ = made(tmp_path, log_alone())
    settings = folder / "product.toml"
    settings.write_text(settings.read_text().replace('pairs = ""', 'pairs = "../log.csv"'))
    with pytest.raises(SettingsError, match=r"split\.by is 'time': pairs have no time"):
        read_settings(folder)
