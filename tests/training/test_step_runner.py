"""Steps: skipped when nothing changed, resumed when cut off, begun anew when an input changed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from training.dag import STEPS
from training.data.impressions import read_impressions
from training.recipes.registry import find
from training.step_runner import Run, Step, StepError, run_step


class Cut(Exception):
    """The power went out."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(find("demo"), tmp_path, tmp_path / "runs", tmp_path / "bundles")


def write(text: str) -> Step:
    def work(_: Run, out: Path) -> None:
        (out / "made.txt").write_text(text)

    return Step("first", (), ("version",), work)


def test_a_step_that_is_done_is_skipped(run: Run) -> None:
    assert run_step(write("a"), run)
    assert not run_step(write("b"), run)
    assert (run.folder("first") / "made.txt").read_text() == "a"


def test_the_record_says_from_what_the_output_was_made(run: Run) -> None:
    run_step(write("a"), run)
    record = json.loads((run.folder("first") / "step.json").read_text())
    assert set(record["outputs"]) == {"made.txt"}
    assert {"torch", "onnxruntime"} <= set(record["versions"])
    assert record["seed"] == run.recipe.seed


def test_a_step_whose_input_was_not_made_says_which(run: Run) -> None:
    with pytest.raises(StepError, match="step 'first' has not finished: run `python -m training first demo`"):
        run_step(Step("second", ("first",), (), lambda *_: None), run)


def test_a_changed_recipe_starts_from_an_empty_folder(run: Run) -> None:
    run_step(write("a"), run)
    (run.folder("first") / "stale.txt").write_text("old")
    changed = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, version="7"))
    assert run_step(write("b"), changed)
    assert sorted(path.name for path in run.folder("first").iterdir()) == ["made.txt", "step.json"]


def test_a_change_that_a_step_does_not_use_does_not_run_it_again(run: Run) -> None:
    run_step(write("a"), run)
    changed = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, gold_anchor=0.7))
    assert not run_step(write("b"), changed)


def test_a_changed_file_is_a_changed_recipe_and_a_moved_one_is_not(run: Run, tmp_path: Path) -> None:
    def step(policy: Path) -> bool:
        recipe = dataclasses.replace(run.recipe, policy=policy)
        return run_step(
            Step("first", (), ("policy",), lambda _, out: (out / "made.txt").touch()),
            dataclasses.replace(run, recipe=recipe),
        )

    for name, text in (("a.md", "one"), ("b.md", "one"), ("c.md", "two")):
        (tmp_path / name).write_text(text)
    assert step(tmp_path / "a.md")
    assert not step(tmp_path / "b.md")
    assert step(tmp_path / "c.md")


def test_a_step_that_was_cut_off_finds_what_it_had(run: Run) -> None:
    def work(_: Run, out: Path) -> None:
        partial = out / "shard-0"
        if not partial.exists():
            partial.write_text("half")
            raise Cut
        (out / "shard-1").write_text("rest")

    with pytest.raises(Cut):
        run_step(Step("first", (), ("version",), work), run)
    assert run_step(Step("first", (), ("version",), work), run)
    assert (run.folder("first") / "shard-0").read_text() == "half"


def test_a_recipe_without_an_engagement_teacher_has_an_empty_log(run: Run) -> None:
    alone = dataclasses.replace(run.recipe, heads=run.recipe.heads[:1], engagement=None)
    without = dataclasses.replace(run, recipe=alone)
    run_step(STEPS["log"], without)
    assert read_impressions(without.folder("log") / "impressions.parquet", (), "train") == []
    run_step(STEPS["log"], run)
    assert len(read_impressions(run.folder("log") / "impressions.parquet", ("click",), "valid")) == 150
