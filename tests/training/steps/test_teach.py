"""Step `teach` in miniature: what it learns from, what it keeps, how it agrees with the judge; then `label`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from training.dag import load_step
from training.data.lists import FieldList, Split
from training.data.soft_labels import Answers, SoftLabels, read_soft_labels
from training.data.source_files import SourceFiles
from training.data.tables import DataError
from training.distillation.teachers import Teacher
from training.nets.checkpoints import Ensemble, load_policy_teacher, read_calibrations
from training.nets.inference import encode_lists, predict
from training.nets.pair_reader import PairReader
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.recipe import StartPlan, TeacherPlan
from training.recipes import demo
from training.sources.market import market_attractiveness, market_judged_lists, market_lists
from training.sources.simulated_clicks import power_law, simulated_log
from training.step_runner import Run, run_step
from training.steps.annotate import annotate_plan, label, pairs_to_label
from training.steps.train_policy_teacher import TEACH, GradedLists, agreements
from training.trainer.schedule import Phases, Schedule

SHORT = Schedule(steps=3, lists_per_step=2, learning_rate=1e-3, added_learning_rate=1e-3)
DIMENSIONS = ("role", "skills", "seniority")
FEW: dict[Split, int] = {"train": 12, "valid": 6, "test": 4}


def log(_: SourceFiles) -> Iterator[FieldList]:
    shown = market_lists(lists=FEW, candidates=8, seed=3)
    yield from simulated_log(shown, market_attractiveness, power_law(8, 0.7), seed=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The demo recipe with few lists; `policy`, `data` and `teach` are done."""
    root = tmp_path_factory.mktemp("teach")
    whole = demo.recipe()
    data = replace(
        whole.data,
        lists=lambda _: market_lists(lists=FEW, candidates=4, seed=0),
        judged=lambda _: market_judged_lists(POLICIES / "demo.md", lists=FEW, candidates=6, seed=1),
        constructed=lambda _: market_judged_lists(
            POLICIES / "demo.md", lists={"train": 6}, candidates=6, seed=2, source="constructed"
        ),
        second_opinion=lambda _: market_judged_lists(POLICIES / "demo.md", lists=FEW, candidates=6, seed=1),
    )
    teacher = TeacherPlan(
        apart=SHORT, schedule=SHORT, slots=(4, 16), tokens=(24, 24), constructed_steps=1, validated_every=1, patience=9
    )
    assert whole.engagement is not None
    clicks = replace(whole.engagement.teacher, phases=Phases(SHORT, SHORT))
    recipe = replace(
        whole,
        engagement=replace(whole.engagement, log=log, teacher=clicks),
        data=data,
        start=StartPlan(schedule=SHORT),
        teacher=replace(teacher, pool=whole.teacher.pool),
    )
    found = Run(recipe, root, root / "runs", root / "bundles")
    for name in ("policy", "data", "start", "teach"):
        run_step(load_step(name), found)
    return found


def with_teacher(run: Run, root: Path, **changes: object) -> Run:
    """Another run beside it, with the same data, and another plan of the teacher."""
    teacher = replace(run.recipe.teacher, **changes)  # type: ignore[arg-type]
    found = replace(run, recipe=replace(run.recipe, teacher=teacher), root=root)
    for name in ("policy", "data", "start"):
        run_step(load_step(name), found)
    return found


def graded(run: Run) -> GradedLists:
    plan = TEACH.plan(run.recipe)
    return GradedLists.read(plan.heads, read_policy(run.recipe.data.policy), run.folder("data"))


def test_it_answers_for_relevance_and_every_dimension(run: Run) -> None:
    model = load_policy_teacher(run.folder("teach"))
    assert model.heads == ("relevance", *DIMENSIONS)
    assert set(read_calibrations(run.folder("teach"))) == set(model.heads)


def test_what_was_not_graded_is_null_and_whether_it_was_asked_is_kept(run: Run) -> None:
    lists = graded(run)
    seniority = np.concatenate([each.labels["seniority"] for each in lists.train])
    answerable = np.concatenate([each.labels["seniority_answerable"] for each in lists.train])
    assert np.isnan(seniority).any()
    np.testing.assert_array_equal(np.isnan(seniority), answerable == 0)
    assert {each.source for each in lists.constructed} == {"constructed"}
    assert {each.source for each in lists.train} == {"judged"}


def test_agreement_with_the_judge_is_beside_the_judges_own(run: Run) -> None:
    found = json.loads((run.folder("teach") / "agreement.json").read_text())
    assert found.keys() == {"relevance", *DIMENSIONS}
    assert found["role"]["judge"]["kappa"] == 1.0  # its second opinion repeats the first
    assert -1 <= found["role"]["teacher"]["kappa"] <= 1
    assert found["role"]["teacher"]["members"] == FEW["valid"]


def test_a_head_that_says_the_mean_agrees_with_no_one(run: Run) -> None:
    lists = graded(run)
    pairs = sum(map(len, lists.valid))
    same = Answers(np.full((pairs, 4, 4), 0.5), np.ones((pairs, 4)))
    found = agreements(("relevance", *DIMENSIONS), same, lists.valid, lists)
    assert found["skills"]["teacher"]["kappa"] == pytest.approx(0, abs=1e-6)  # type: ignore[index]


def test_the_first_steps_are_of_constructed_lists_and_every_later_measure_is_logged(run: Run) -> None:
    lines = [json.loads(line) for line in (run.folder("teach") / "log.jsonl").read_text().splitlines()]
    assert [("valid" in line) for line in lines] == [False, True, True]


def test_without_judged_lists_it_learns_from_the_adapters_gains(run: Run, tmp_path: Path) -> None:
    data = replace(run.recipe.data, judged=None, constructed=None, second_opinion=None)
    other = replace(run, recipe=replace(run.recipe, data=data), root=tmp_path)
    for name in ("policy", "data", "start", "teach"):
        run_step(load_step(name), other)
    assert load_policy_teacher(other.folder("teach")).heads == ("relevance",)
    assert json.loads((other.folder("teach") / "agreement.json").read_text())["relevance"]["judge"] is None


def test_seeds_make_an_ensemble(run: Run, tmp_path: Path) -> None:
    other = with_teacher(run, tmp_path, seeds=2)
    run_step(load_step("teach"), other)
    model = load_policy_teacher(other.folder("teach"))
    assert isinstance(model, Ensemble)
    first, second = (next(iter(each.parameters())) for each in model.members)
    assert not torch.equal(first, second)


def test_without_steps_together_each_text_is_read_alone(run: Run, tmp_path: Path) -> None:
    alone = with_teacher(run, tmp_path, schedule=replace(SHORT, steps=0))
    run_step(TEACH, alone)
    model, together = (load_policy_teacher(each.folder("teach")) for each in (alone, run))
    assert isinstance(model, PairReader)
    assert not model.is_together
    assert isinstance(together, PairReader)
    assert together.is_together
    pairs = zip(model.backbone.parameters(), together.backbone.parameters(), strict=True)
    assert not all(torch.equal(mine, other) for mine, other in pairs)  # upper layers learn only with steps together
    trained = (alone.folder("teach") / "apart" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(trained) == SHORT.steps


def test_trained_weights_are_taken_and_not_trained_again(run: Run, tmp_path: Path) -> None:
    trained = load_policy_teacher(run.folder("teach"))
    pairs = encode_lists(trained.encoder, graded(run).valid)
    other = with_teacher(run, tmp_path, trained=run.folder("teach"))
    run_step(load_step("teach"), other)
    assert not (other.folder("teach") / "log.jsonl").exists()
    found = load_policy_teacher(other.folder("teach"))
    np.testing.assert_array_equal(predict(found, found.encoder, pairs), predict(trained, trained.encoder, pairs))


def test_labels_made_ahead_are_not_made_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    said = label(run, None, None)
    pairs = pairs_to_label(annotate_plan(run.recipe), run.folder("data"))
    assert set(pairs["source"]) == {"judged", "pool", "market"}
    assert f"{pairs.height} pairs" in said
    assert ", 0 labelled now" in label(run, None, None)
    model = load_policy_teacher(run.folder("teach"))
    teacher = Teacher(model.heads, model, read_calibrations(run.folder("teach")))
    for name in ("log", "teach-engagement"):
        run_step(load_step(name), run)
    monkeypatch.setattr(type(model), "forward", lambda *_, **__: pytest.fail("scored again"))
    run_step(load_step("annotate"), run)
    lists = read_soft_labels(run.folder("annotate"), [*model.heads, "click"], read_policy(run.recipe.data.policy))
    assert sum(map(len, lists)) == pairs.height
    judged = [each for each in lists if each.source == "judged"]
    monkeypatch.undo()
    outputs = predict(model, model.encoder, encode_lists(model.encoder, judged))
    wanted = teacher.soft_labels(outputs, {})["role"]
    found = SoftLabels.of(
        {name: np.concatenate([each.labels[name] for each in judged]) for name in judged[0].labels}, "role"
    )
    np.testing.assert_allclose(found.probability, wanted.probability, atol=0.02)
    np.testing.assert_allclose(found.at_least, wanted.at_least, atol=0.02)
    assert not np.isnan(found.gold).any()
    assert np.isnan(judged[0].labels["click_answerable"]).all()


def test_pairs_of_ones_own_are_labelled_and_unusable_ones_are_named(run: Run, tmp_path: Path) -> None:
    pl.DataFrame({"member": ["senior baker"], "candidate": ["senior baker. skills: dough"]}).write_parquet(
        tmp_path / "pairs.parquet"
    )
    assert label(run, tmp_path / "pairs.parquet", tmp_path / "labels").startswith("1 pairs, 1 labelled now")
    pl.DataFrame({"member": ["a", None], "candidate": ["x", "y"]}).write_parquet(tmp_path / "pairs.parquet")
    with pytest.raises(DataError, match="row 1, column 'member'"):
        label(run, tmp_path / "pairs.parquet", tmp_path / "labels")
