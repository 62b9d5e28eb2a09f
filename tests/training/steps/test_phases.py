"""Several trainings in one step: when one is cut off, those before it are kept and not trained again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from training.dag import load_step
from training.data.lists import FieldList
from training.data.source_files import SourceFiles
from training.distillation import student_trainers as trainers
from training.recipe import ActionHeadsPlan, StartPlan, TeacherPlan
from training.recipes import find_recipe
from training.sources.market import market_attractiveness, market_lists
from training.sources.simulated_clicks import power_law, simulated_log
from training.step_runner import Run, run_step
from training.steps import train_policy_teacher as teach
from training.trainer.schedule import Phases, Schedule

SHORT = Schedule(steps=2, lists_per_step=2, learning_rate=1e-3)


def log(_: SourceFiles) -> Iterator[FieldList]:
    shown = market_lists(lists={"train": 8, "valid": 8, "test": 4}, candidates=8, seed=2)
    yield from simulated_log(shown, market_attractiveness, power_law(8, 0.7), seed=3)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    demo = find_recipe("demo")
    assert demo.engagement is not None
    recipe = replace(
        demo,
        engagement=replace(
            demo.engagement,
            log=log,
            teacher=replace(demo.engagement.teacher, phases=Phases(SHORT, SHORT)),
            student=ActionHeadsPlan(schedule=SHORT, shares=()),
        ),
        data=replace(
            demo.data, lists=lambda _: market_lists(lists={"train": 8, "valid": 4, "test": 4}, candidates=4, seed=0)
        ),
        start=StartPlan(schedule=SHORT),
        teacher=TeacherPlan(schedule=SHORT, constructed_steps=1, seeds=2),
        student=replace(demo.student, phases=Phases(SHORT, SHORT)),
    )
    return Run(recipe, tmp_path, tmp_path / "runs", tmp_path / "bundles")


def fitted(monkeypatch: pytest.MonkeyPatch, module: object, cut_at: int) -> list[str]:
    """The folders that `fit` trains in, in order; the call number `cut_at` is cut off."""
    whole: Callable[..., None] = module.fit  # type: ignore[attr-defined]  # what the module imported
    folders: list[str] = []

    def fit(*args: object, **options: object) -> None:
        folders.append(str(Path(str(args[-1])).name))
        if len(folders) == cut_at:
            raise KeyboardInterrupt
        whole(*args, **options)

    monkeypatch.setattr(module, "fit", fit)
    return folders


def test_an_ensemble_that_was_cut_off_trains_no_member_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run_step(load_step("policy"), run)
    run_step(load_step("data"), run)
    run_step(load_step("start"), run)
    folders = fitted(monkeypatch, teach, cut_at=2)
    with pytest.raises(KeyboardInterrupt):
        run_step(load_step("teach"), run)
    assert run_step(load_step("teach"), run)
    assert folders == ["member-0", "member-1", "member-0", "member-1"]
    first = (run.folder("teach") / "member-0" / "log.jsonl").read_text().splitlines()
    assert len(first) == SHORT.steps


def test_a_student_that_was_cut_off_in_pairs_resumes_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("policy", "data", "log", "start", "teach", "teach-engagement", "annotate"):
        run_step(load_step(name), run)
    folders = fitted(monkeypatch, trainers, cut_at=2)
    with pytest.raises(KeyboardInterrupt):
        run_step(load_step("distill"), run)
    assert run_step(load_step("distill"), run)
    assert folders[:3] == ["sides", "relevance", "relevance"]
