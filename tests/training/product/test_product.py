# ruff: noqa: E501
"""A product from files: what `new` writes, what the steps read of it, why a step would run again, a recipe of one's own."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.support.product_files import LOG_HEADER, PAIR_HEADER, make_shop, shop, write_table
from training.__main__ import main
from training.dag import load_step, status
from training.data.impressions import read_impressions
from training.data.lists import read_lists
from training.errors import UserError
from training.judging.pool import read_pool
from training.policy.parser import read_policy
from training.product.budget import Size, allowed_steps
from training.product.new import Order, new_product
from training.product.recipe import product_recipe
from training.product.run import is_product, load_recipe_file, product_run
from training.product.settings import SettingsError, read_settings
from training.step_runner import Run, run_step

FILE_RECIPE = """
from dataclasses import replace
from training.data.lists import FieldList
from training.recipes import find_recipe

GRADE = 1.0

def lists(data):
    yield FieldList("l", "own", "train", {"headline": "m"}, [{"title": "c"}], {"relevance": [GRADE]})

def recipe():
    demo = find_recipe("demo")
    return replace(demo, name="own", data=replace(demo.data, lists=lists))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pairs, log, _ = shop()
    return make_shop(tmp_path, pairs, log)


def prepared(folder: Path, *steps: str) -> Run:
    run = product_run(folder)
    for name in steps:
        run_step(load_step(name), run)
    return run


def test_the_folder_holds_settings_and_a_policy_that_both_can_be_read(folder: Path) -> None:
    settings = read_settings(folder)
    assert settings.name == "shop"
    assert [each.name for each in settings.text.candidate] == ["title", "brand"]
    assert (settings.log.actions, settings.log.places) == (("click",), 6)
    assert read_policy(folder / "policy.md").label == "shop-policy@0.1.0"
    assert sorted(path.name for path in folder.iterdir()) == ["policy.md", "product.toml"]


def test_every_setting_of_a_new_file_is_explained(folder: Path) -> None:
    lines = (folder / "product.toml").read_text().splitlines()
    plain = {"version", "name", "policy", "pairs", "log", "candidates", "title", "intended_use", "limits", "licence"}
    shared = {"candidate", "candidate_tokens", "test", "student_steps", "engagement_steps", "seed"}
    for before, line in itertools.pairwise(lines):
        key = line.partition(" =")[0]
        if key.isidentifier() and key not in plain | shared:
            assert before.startswith("#"), line


def test_what_was_assumed_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.product.command.speed_of", lambda _: 1000.0)
    pairs = write_table(
        tmp_path / "pairs.csv", (*PAIR_HEADER, "colour"), [[*row, "red"] for row in shop(members=20)[0]]
    )
    assert main(["new", str(tmp_path / "shop"), "--pairs", str(pairs), "--hours", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "assumed: pairs.csv: not used: colour (--map colour=OURS uses one)\n" in out
    assert "assumed: policy.md: a template" in out
    assert "assumed: 20 members are few" in out
    assert main(["new", str(tmp_path / "shop"), "--pairs", str(pairs)]) == 1
    assert "product.toml exists: edit it, or choose another name" in capsys.readouterr().err


def test_the_steps_read_what_the_service_would_render(folder: Path) -> None:
    run = prepared(folder, "policy", "golden", "data", "log")
    pairs, _, _ = shop()
    golden = pl.read_parquet(run.folder("golden") / "golden.parquet")
    template = run.recipe.text.template
    wanted = {(row[0], row[2]): template.render_candidate({"title": row[3], "brand": row[4]}) for row in pairs}
    found = {(row["member_id"], row["candidate_id"]): row["candidate"] for row in golden.iter_rows(named=True)}
    assert found == wanted
    texts = {text for split in ("train", "valid", "test") for each in read_lists(run.folder("data"), ("relevance",), split) for text in each.candidates}  # fmt: skip
    assert texts == set(wanted.values())


def test_a_member_is_in_one_split_of_pairs_and_log(folder: Path) -> None:
    run = prepared(folder, "policy", "data", "log")
    splits: dict[str, set[str]] = {}
    for split in ("train", "valid", "test"):
        for each in read_lists(run.folder("data"), ("relevance",), split):
            splits.setdefault(each.member, set()).add(split)
        for shown in read_impressions(run.folder("log") / "impressions.parquet", ("click",), split):
            splits.setdefault(shown.member, set()).add(split)
    assert all(len(found) == 1 for found in splits.values())
    assert {"train", "valid", "test"} == {split for found in splits.values() for split in found}


def test_gains_are_grades_and_the_first_rater_decides(tmp_path: Path) -> None:
    header = (*PAIR_HEADER, "rater")
    rows = [[*row, "ann"] for row in shop()[0]]
    rows += [[*row[:5], str(4 - int(row[5])), "bob"] for row in rows[:6]]
    folder = make_shop(tmp_path, rows, header=header)
    settings = folder / "product.toml"
    assert 'authority = ["ann", "bob"]' in settings.read_text()
    gains = {}
    for authority in ('["ann", "bob"]', '["bob", "ann"]'):
        settings.write_text(settings.read_text().replace('authority = ["ann", "bob"]', f"authority = {authority}"))
        run = prepared(folder, "policy", "data")
        frame = pl.read_parquet(run.folder("data") / "pairs.parquet")
        gains[authority] = dict(zip(frame["candidate"], frame["relevance"], strict=True))
    first, second = gains.values()
    differing = {text for text in first if first[text] != second[text]}
    assert differing
    assert len(differing) <= 6
    assert all(first[text] == 1 - second[text] for text in differing)


def test_a_catalogue_gives_training_lists_without_grades(tmp_path: Path) -> None:
    pairs, _, products = shop()
    catalogue = write_table(tmp_path / "c.csv", ("candidate_id", "candidate.title", "candidate.brand"), products)
    path = write_table(tmp_path / "p.csv", PAIR_HEADER, pairs)
    order = Order(tmp_path / "shop", None, path, None, catalogue, {}, 5.0, None)
    new_product(order, lambda _: 10_000.0)
    run = prepared(order.folder, "policy", "data")
    frame = pl.read_parquet(run.folder("data") / "pairs.parquet").filter(pl.col("source") == "catalogue")
    assert frame["list_id"].n_unique() == read_settings(order.folder).training.unlabelled_lists > 0
    assert frame["relevance"].null_count() == frame.height
    assert frame["split"].unique().to_list() == ["train"]


def test_a_catalogue_gets_labels_also_where_time_is_short() -> None:
    size = Size(
        graded=True, train_lists=4000, tokens_per_list=300, tokens_in_pairs=400, further_lists=4000, logged_lists=0
    )
    steps = allowed_steps(size, 0.1, 1000)
    assert 0 < steps.annotated_lists < 4000
    assert steps.unlabelled_lists == steps.annotated_lists // 4


def test_a_pool_pairs_training_members_with_the_catalogue_for_a_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs, _, products = shop()
    catalogue = write_table(tmp_path / "c.csv", ("candidate_id", "candidate.title", "candidate.brand"), products)
    path = write_table(tmp_path / "p.csv", PAIR_HEADER, pairs)
    folder = tmp_path / "shop"
    new_product(Order(folder, None, path, None, catalogue, {}, 1.0, None), lambda _: 10_000.0)
    assert main(["pool", str(folder), "--pairs", "200"]) == 0
    said = capsys.readouterr().out
    assert "200 pairs in" in said
    assert "without an endpoint or batch files no pair gets a grade" in said
    run = prepared(folder, "policy", "data")
    train = {each.member for each in read_lists(run.folder("data"), ("relevance",), "train")}
    pool = read_pool(folder / "pool.parquet", run.recipe.text.template)
    assert {each.member for each in pool} <= train
    assert not {(each.member_id, each.candidate_id) for each in pool} & {(row[0], row[2]) for row in pairs}


def test_a_pool_without_a_catalogue_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pool", str(folder)]) == 1
    assert "has no catalogue: name one in files.candidates" in capsys.readouterr().err


def test_clicks_in_columns_are_clicks_in_words(tmp_path: Path) -> None:
    pairs, log, _ = shop()
    words = product_run(make_shop(tmp_path / "words", pairs, log)).recipe
    path = write_table(tmp_path / "pairs.csv", PAIR_HEADER, pairs)
    rows = [[*row[:4], "1" if row[4] else "0"] for row in log]
    columns = write_table(tmp_path / "log.csv", (*LOG_HEADER[:4], "click"), rows)
    new_product(Order(tmp_path / "shop", None, path, columns, None, {}, 0.05, None), lambda _: 2000.0)
    assert product_recipe(tmp_path / "shop").head_names == words.head_names
    runs = [prepared(folder, "log") for folder in (tmp_path / "words" / "shop", tmp_path / "shop")]
    first, second = (pl.read_parquet(run.folder("log") / "impressions.parquet") for run in runs)
    assert first.equals(second)


def test_an_edit_of_the_card_runs_only_what_states_it(folder: Path) -> None:
    run = prepared(folder, "policy", "golden", "data", "log")
    settings = folder / "product.toml"
    settings.write_text(settings.read_text().replace("shop student", "The shop's student"))
    found = {name: reasons for name, reasons, _ in status(product_run(folder))}
    assert [found[name] for name in ("policy", "golden", "data", "log")] == [[], [], [], []]
    assert found["teach"] == ["it never ran"]
    pairs = folder.parent / "pairs.csv"
    pairs.write_text(pairs.read_text() + "q-new,a new query,p-new,a new lamp,Ilse,3\n")
    found = {name: reasons for name, reasons, _ in status(replace(run, recipe=product_recipe(folder)))}
    assert found["data"] == found["golden"] == ["the file ../pairs.csv changed"]
    assert found["policy"] == []


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (("hours = 0.05", "hour = 1"), r"training\.hour is not a setting"),
        (("valid = 0.2", "valid = 2"), r"split\.valid is 2: input should be less than 0\.5"),
        (('name = "shop"', ""), "name is missing"),
        (("seed = 0", "seed = "), "not TOML: Invalid value"),
        (('pairs = "../pairs.csv"', 'pairs = ""\n'), "files: name pairs, a log or both"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(edit: tuple[str, str], words: str, tmp_path: Path) -> None:
    folder = make_shop(tmp_path, shop(members=20)[0])
    settings = folder / "product.toml"
    settings.write_text(settings.read_text().replace(*edit))
    with pytest.raises(SettingsError, match=words):
        read_settings(folder)


def test_a_folder_is_not_taken_for_a_recipes_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_product(Path("demo"))
    assert is_product(Path("some/where"))
    assert is_product(tmp_path)
    with pytest.raises(SettingsError, match=r"product\.toml does not exist: make it with `python -m training new"):
        product_run(tmp_path)


def test_more_time_never_means_fewer_steps_and_the_data_bounds_them() -> None:
    size = Size(
        graded=True, train_lists=400, tokens_per_list=300, tokens_in_pairs=400, further_lists=400, logged_lists=200
    )
    steps = [allowed_steps(size, hours, 2000) for hours in (0.01, 0.1, 1, 10, 100)]
    assert [each.teacher for each in steps] == sorted(each.teacher for each in steps)
    assert steps[0].teacher >= 4
    assert steps[-1].teacher == 4 * 400
    assert steps[-1].start == 4 * 400 // 16
    assert steps[-1].annotated_lists == 800


def test_a_recipe_in_a_file_of_ones_own_runs_and_its_code_counts(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FILE_RECIPE)
    words = ["data", "--recipe", str(path), "--runs", str(tmp_path / "runs")]
    assert main(words) == 0
    pairs = pl.read_parquet(tmp_path / "runs" / "own" / "data" / "pairs.parquet")
    assert pairs["relevance"].to_list() == [1.0]
    assert load_recipe_file(path).name == "own"


@pytest.mark.parametrize(
    ("source", "words"),
    [("x = 1\n", "has no function `recipe"), ("def recipe(): return 1\n", "returns int, not a training.recipe.Recipe")],
)
def test_a_file_without_a_recipe_is_refused(source: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(UserError, match=words):
        load_recipe_file(tmp_path / "mine.py")
    with pytest.raises(UserError, match="there is no such file"):
        load_recipe_file(tmp_path / "none.py")


def test_grades_of_a_parquet_file_render_as_the_service_renders(tmp_path: Path) -> None:
    pairs = {
        "member_id": [1, 2],
        "member.headline": ["baker", "nurse"],
        "candidate_id": [10, 11],
        "candidate.skills": [["a", None, "b"], None],
        "candidate.years": [0, None],
        "candidate.title": ["cook", "ward"],
        "candidate.rate": pl.Series([0.1, 2.5], dtype=pl.Float32),
        "grade": ["4 ", "0"],
    }
    pl.DataFrame(pairs).write_parquet(tmp_path / "pairs.parquet")
    new_product(Order(tmp_path / "shop", None, tmp_path / "pairs.parquet", None, None, {}, 1.0, None), lambda _: 1000.0)
    run = prepared(tmp_path / "shop", "policy", "golden")
    golden = pl.read_parquet(run.folder("golden") / "golden.parquet").sort("member_id")
    assert golden["candidate"].to_list() == ["skills: a, b. years: 0. cook. rate: 0.1", "ward. rate: 2.5"]
    assert golden.select("member_id", "candidate_id", "grade").rows() == [("1", "10", 4), ("2", "11", 0)]


def test_a_text_side_is_the_text_that_a_caller_sends(tmp_path: Path) -> None:
    path = write_table(
        tmp_path / "p.csv", ("member", "candidate", "grade"), [[" two  spaces. ", "a\tb.", "1"], ["m", "c", "2"]]
    )
    new_product(Order(tmp_path / "shop", None, path, None, None, {}, 1.0, None), lambda _: 1000.0)
    run = prepared(tmp_path / "shop", "policy", "data")
    frame = pl.read_parquet(run.folder("data") / "pairs.parquet")
    template = run.recipe.text.template
    assert set(frame["member"]) == {template.render_member(" two  spaces. "), "m"} == {"two  spaces.", "m"}
    assert set(frame["candidate"]) == {template.render_candidate("a\tb."), "c"}
