"""Steps: skipped when nothing changed, resumed when cut off, run again when anything changed that they were given."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import eventually
from training.dag import STEPS, load_step
from training.data.impressions import read_impressions
from training.data.lists import FieldList, read_lists
from training.data.source_files import SourceFiles
from training.data.tables import DataError
from training.errors import UserError
from training.fingerprint import reached
from training.recipes import find_recipe
from training.step_runner import Resources, Run, Step, StepError, reasons_to_run, run_step

Work = Callable[[Any, Any, Path, Resources], None]
CSV = "grades/some.csv"


class PowerCut(Exception):
    pass


@dataclass(frozen=True)
class NoInputs:
    pass


@dataclass(frozen=True)
class FirstAsInput:
    first: Path


@dataclass(frozen=True)
class DataAsInput:
    data: Path


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "grades").mkdir()
    (tmp_path / CSV).write_text("baker,baker,1\nbaker,welder,0\nwelder,welder,1\n")
    recipe = replace(find_recipe("demo"), data=replace(find_recipe("demo").data, lists=csv_lists))
    return Run(recipe, tmp_path, tmp_path / "runs", tmp_path / "bundles")


def csv_lists(data: SourceFiles) -> Iterator[FieldList]:
    """A row is a list: a member, a candidate and a grade."""
    for index, line in enumerate(data.path(CSV).read_text().splitlines()):
        member, candidate, grade = line.split(",")
        labels = {"relevance": [float(grade)]}
        yield FieldList(str(index), "csv", "train", {"headline": member}, [{"title": candidate}], labels)


def first(work: Work) -> Step[Any, Any]:
    return Step("first", lambda recipe: recipe.version, NoInputs, work)


def write_version(plan: str, _: NoInputs, out: Path, __: Resources) -> None:
    (out / "made.txt").write_text(plan)


def write_other(plan: str, _: NoInputs, out: Path, __: Resources) -> None:
    (out / "made.txt").write_text(plan + " by other code")


def copy_first(_: None, inputs: FirstAsInput, out: Path, __: Resources) -> None:
    (out / "copied.txt").write_bytes((inputs.first / "made.txt").read_bytes())


def count_pairs(_: None, inputs: DataAsInput, out: Path, __: Resources) -> None:
    (out / "gains.txt").write_text(
        str([each.labels["relevance"] for each in read_lists(inputs.data, ["relevance"], "train")])
    )


FIRST = first(write_version)
SECOND = Step("second", lambda _: None, FirstAsInput, copy_first)
GAINS = Step("gains", lambda _: None, DataAsInput, count_pairs)


def record_of(run: Run, step: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((run.folder(step) / "step.json").read_text())
    return record


def with_version(run: Run, version: str) -> Run:
    return replace(run, recipe=replace(run.recipe, version=version))


def test_a_step_that_is_done_is_skipped(run: Run) -> None:
    assert run_step(FIRST, run)
    assert not run_step(FIRST, run)


def test_the_record_says_from_what_the_output_was_made(run: Run) -> None:
    run_step(FIRST, run)
    record = record_of(run, "first")
    assert set(record["outputs"]) == {"made.txt"}
    assert {"torch", "onnxruntime"} <= set(record["versions"])
    assert record["seed"] == run.recipe.seed


def test_a_step_whose_input_was_not_made_says_which(run: Run) -> None:
    with pytest.raises(StepError, match="step 'first' has not finished: run `python -m training first demo`"):
        run_step(SECOND, run)


def test_a_changed_plan_starts_from_an_empty_folder(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_step(FIRST, run)
    (run.folder("first") / "stale.txt").write_text("old")
    assert run_step(FIRST, with_version(run, "7"))
    assert sorted(path.name for path in run.folder("first").iterdir()) == ["made.txt", "step.json"]
    assert "first: runs again, changed: plan" in capsys.readouterr().err


def test_a_change_of_another_part_of_the_recipe_does_not_run_a_step_again(run: Run) -> None:
    run_step(FIRST, run)
    student = replace(run.recipe.student, gold_anchor=0.7)
    assert not run_step(FIRST, replace(run, recipe=replace(run.recipe, student=student)))


def test_changed_code_runs_a_step_again(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_step(FIRST, run)
    assert run_step(first(write_other), run)
    assert "first: runs again, changed: code" in capsys.readouterr().err


def test_a_file_counts_by_its_bytes_and_not_by_its_name(run: Run, tmp_path: Path) -> None:
    def step(policy: Path) -> bool:
        touch: Work = lambda plan, inputs, out, resources: (out / "made.txt").touch()  # noqa: E731
        recipe = replace(run.recipe, data=replace(run.recipe.data, policy=policy))
        return run_step(Step("first", lambda recipe: recipe.data.policy, NoInputs, touch), replace(run, recipe=recipe))

    for name, text in (("a.md", "one"), ("b.md", "one"), ("c.md", "two")):
        (tmp_path / name).write_text(text)
    assert step(tmp_path / "a.md")
    assert not step(tmp_path / "b.md")
    assert step(tmp_path / "c.md")


def test_a_changed_byte_of_a_source_file_runs_data_and_all_that_follows_again(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    data = load_step("data")
    assert run_step(data, run)
    assert run_step(GAINS, run)
    assert not run_step(data, run)
    assert not run_step(GAINS, run)
    before = (run.folder("gains") / "gains.txt").read_text()
    inverted = (run.data / CSV).read_text().translate(str.maketrans("01", "10"))
    (run.data / CSV).write_text(inverted)
    capsys.readouterr()
    fingerprint = record_of(run, "data")["fingerprint"]
    assert run_step(data, run)
    assert record_of(run, "data")["fingerprint"] != fingerprint
    assert run_step(GAINS, run)
    assert (run.folder("gains") / "gains.txt").read_text() != before
    said = capsys.readouterr().err
    assert f"data: runs again, changed: source {CSV}" in said
    assert "gains: runs again, changed: input data" in said


def test_a_source_file_that_is_missing_is_named(run: Run) -> None:
    (run.data / CSV).unlink()
    with pytest.raises(DataError, match=r"grades/some\.csv does not exist"):
        run_step(load_step("data"), run)


def test_a_source_that_appears_later_runs_the_step_again(run: Run) -> None:
    def look(_: str, __: NoInputs, out: Path, resources: Resources) -> None:
        (out / "found.txt").write_text(str(resources.sources.has("extra.csv")))

    assert run_step(first(look), run)
    assert not run_step(first(look), run)
    (run.data / "extra.csv").touch()
    assert run_step(first(look), run)
    assert (run.folder("first") / "found.txt").read_text() == "True"


def refusing(*, first_writes: bool) -> Step[None, FirstAsInput]:
    """A step that copies its input, and refuses one that says 7, perhaps after it has written a file."""

    def work(_: None, inputs: FirstAsInput, out: Path, __: Resources) -> None:
        made = (inputs.first / "made.txt").read_text()
        if first_writes:
            (out / "begun.txt").write_text(made)
        if made == "7":
            raise UserError("7 is no good")
        (out / "copied.txt").write_text(made)

    return Step("second", lambda _: None, FirstAsInput, work)


def test_a_step_that_refuses_a_changed_input_keeps_its_earlier_results(run: Run) -> None:
    step = refusing(first_writes=False)
    run_step(FIRST, run)
    run_step(step, run)
    record, made = record_of(run, "second"), (run.folder("second") / "copied.txt").read_text()
    run_step(FIRST, with_version(run, "7"))
    for _ in range(2):  # a refusal is no result: the next run refuses as well
        with pytest.raises(UserError, match="7 is no good"):
            run_step(step, run)
        assert record_of(run, "second") == record
        assert (run.folder("second") / "copied.txt").read_text() == made
    assert not list(run.folder("second").parent.glob("*.before"))


def test_results_that_a_killed_run_put_aside_come_back(run: Run) -> None:
    def killed(_: None, __: FirstAsInput, ___: Path, ____: Resources) -> None:
        raise PowerCut

    step = refusing(first_writes=False)
    run_step(FIRST, run)
    run_step(step, run)
    with pytest.raises(PowerCut):
        run_step(replace(step, work=killed), run)
    assert not (run.folder("second") / "copied.txt").exists()
    assert not run_step(step, run)
    assert (run.folder("second") / "copied.txt").exists()


def test_results_are_replaced_once_a_step_has_written(run: Run) -> None:
    step = refusing(first_writes=True)
    run_step(FIRST, run)
    run_step(step, run)
    run_step(FIRST, with_version(run, "7"))
    with pytest.raises(UserError, match="7 is no good"):
        run_step(step, run)
    run_step(FIRST, run)
    assert run_step(step, run)
    assert not list(run.folder("second").parent.glob("*.before"))


def test_a_change_of_a_stamped_input_keeps_a_finished_result(run: Run) -> None:
    stamped = replace(SECOND, stamped=("first",))
    run_step(FIRST, run)
    run_step(stamped, run)
    run_step(FIRST, with_version(run, "7"))
    assert not run_step(stamped, run)
    assert run_step(SECOND, run)


def test_a_change_of_a_stamped_input_starts_a_step_again_that_was_cut_off(run: Run) -> None:
    def work(_: None, inputs: FirstAsInput, out: Path, __: Resources) -> None:
        version = (inputs.first / "made.txt").read_text()
        (out / f"begun with {version}").touch()
        if version != "7":
            raise PowerCut

    stamped = Step("second", lambda _: None, FirstAsInput, work, stamped=("first",))
    run_step(FIRST, run)
    with pytest.raises(PowerCut):
        run_step(stamped, run)
    run_step(FIRST, with_version(run, "7"))
    assert run_step(stamped, run)
    assert {path.name for path in run.folder("second").iterdir()} == {"begun with 7", "step.json"}


def test_a_changed_byte_of_an_output_makes_it_again_and_what_reads_it(run: Run) -> None:
    run_step(FIRST, run)
    run_step(SECOND, run)
    made = run.folder("first") / "made.txt"
    made.write_text("2")
    assert run_step(SECOND, run)
    assert (run.folder("second") / "copied.txt").read_text() == "2"
    assert run_step(FIRST, run)
    assert made.read_text() == run.recipe.version


def test_a_step_that_was_cut_off_finds_what_it_had(run: Run) -> None:
    def work(_: str, __: NoInputs, out: Path, ___: Resources) -> None:
        shard = out / "shard-0"
        if not shard.exists():
            shard.write_text("half")
            raise PowerCut
        (out / "shard-1").write_text("rest")

    with pytest.raises(PowerCut):
        run_step(first(work), run)
    assert run_step(first(work), run)
    assert (run.folder("first") / "shard-0").read_text() == "half"


def test_a_step_that_was_cut_off_starts_again_when_a_source_changed_meanwhile(run: Run) -> None:
    def work(_: str, __: NoInputs, out: Path, resources: Resources) -> None:
        cuts = not (out / "begun").exists()
        (out / "begun").touch()
        (out / f"read {resources.sources.path(CSV).read_text()[:5]}").touch()
        if cuts:
            raise PowerCut

    for text in ("first", "other"):
        (run.data / CSV).write_text(text)
        with pytest.raises(PowerCut):
            run_step(first(work), run)
    assert run_step(first(work), run)
    assert {path.name for path in run.folder("first").iterdir()} == {"begun", "read other", "step.json"}


def test_an_accepted_result_is_kept_with_the_reason(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_step(FIRST, run)
    run_step(SECOND, run)
    changed = with_version(run, "7")
    assert not run_step(FIRST, changed, accept="only the version's name changed")
    assert (run.folder("first") / "made.txt").read_text() == run.recipe.version
    accepted = [{"reason": "only the version's name changed", "changed": ["plan"]}]
    assert record_of(run, "first")["accepted"] == accepted
    assert "first: kept, although changed: plan (only the version's name changed)" in capsys.readouterr().err
    assert not run_step(FIRST, changed)
    assert not run_step(SECOND, changed)


def test_a_step_that_reads_records_runs_again_when_a_result_was_accepted(run: Run) -> None:
    run_step(FIRST, run)
    provenance = replace(SECOND, reads_records=True)
    run_step(provenance, run)
    run_step(FIRST, with_version(run, "7"), accept="no difference")
    assert run_step(provenance, run)


def test_a_change_after_an_accepted_one_runs_the_step_again(run: Run) -> None:
    run_step(FIRST, run)
    run_step(FIRST, with_version(run, "7"), accept="no difference")
    assert run_step(FIRST, with_version(run, "8"))
    assert "accepted" not in record_of(run, "first")


def test_there_must_be_a_result_to_accept(run: Run) -> None:
    with pytest.raises(StepError, match="step 'first' has no finished result to accept"):
        run_step(FIRST, run, accept="why not")


def test_each_step_reads_steps_before_it(run: Run) -> None:
    names = list(STEPS)
    for position, name in enumerate(names):
        step = load_step(name)
        assert step.name == name
        assert set(step.reads) <= set(names[:position])


@pytest.mark.parametrize("name", STEPS)
def test_no_step_can_read_a_part_of_the_recipe_that_it_is_not_given(name: str) -> None:
    """Its code cannot reach the recipe or the run: only the plan, which its fingerprint covers."""
    code = reached(load_step(name).work)
    assert not {"training.recipe:Recipe", "training.step_runner:Run"} & code.keys()
    assert not any(key.startswith("training.recipes.") for key in code)
    given = {"sources", "shared", "bundle", "executor", "processes", "live"}
    assert {field.name for field in fields(Resources)} == given


def test_a_recipe_without_an_engagement_teacher_has_an_empty_log(run: Run) -> None:
    alone = replace(run.recipe, heads=run.recipe.heads[:1], engagement=None)
    without = replace(run, recipe=alone)
    run_step(load_step("log"), without)
    assert read_impressions(without.folder("log") / "impressions.parquet", (), "train") == []
    run_step(load_step("log"), run)
    assert len(read_impressions(run.folder("log") / "impressions.parquet", ("click",), "valid")) == 150


@dataclass(frozen=True)
class Threads:
    """A process of a launch, as a thread."""

    is_main: bool
    barrier: threading.Barrier

    def wait(self) -> None:
        self.barrier.wait(timeout=10)


def made_by_the_first(_: SourceFiles, folder: Path) -> str:
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / "maker.txt").write_text(threading.current_thread().name)
    return str(folder)


def test_of_several_processes_the_main_one_makes_a_model_first(run: Run) -> None:
    barrier = threading.Barrier(2)
    main, other = (replace(run, processes=Threads(it, barrier)).resources() for it in (True, False))  # type: ignore[arg-type]
    with ThreadPoolExecutor(thread_name_prefix="other") as pool:
        found = pool.submit(other.model, made_by_the_first)
        eventually(lambda: barrier.n_waiting == 1, within=5)
        folder = main.model(made_by_the_first)
        assert found.result() == folder
    assert (Path(folder) / "maker.txt").read_text() == threading.current_thread().name


def test_the_reasons_to_run_say_what_changed_and_run_nothing(run: Run) -> None:
    step, second = first(write_version), Step("second", lambda _: None, FirstAsInput, copy_first)
    assert reasons_to_run(step, run) == ["it never ran"]
    run_step(step, run)
    run_step(second, run)
    assert reasons_to_run(step, run) == reasons_to_run(second, run) == []
    assert reasons_to_run(step, replace(run, recipe=replace(run.recipe, version="9"))) == ["its settings changed"]
    assert reasons_to_run(first(write_other), run) == ["its code changed"]
    (run.folder("first") / "made.txt").write_text("edited")
    assert reasons_to_run(step, run) == ["its own output was edited or lost"]
    assert reasons_to_run(second, run) == ["the output of step first changed"]
    (run.folder("first") / "step.json").unlink()
    assert reasons_to_run(second, run) == ["input first is not finished"]


def test_a_changed_source_file_and_another_version_are_named(run: Run) -> None:
    step = load_step("data")
    run_step(step, run)
    (run.data / CSV).write_text("baker,baker,0\n")
    assert reasons_to_run(step, run) == [f"the file {CSV} changed"]
    record = run.folder("data") / "step.json"
    known = json.loads(record.read_text())
    record.write_text(json.dumps({**known, "versions": {**known["versions"], "polars": "0.1"}}))
    assert reasons_to_run(step, run)[0].startswith("other versions: polars 0.1 -> ")
