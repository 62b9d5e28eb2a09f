"""Step `evaluate` on a model with little training: the report is complete, and the gates stop a bad student."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import pytest

from models.bundle.files import Bundle
from models.loading import graphs_for
from training.dag import load_step, run_all
from training.evaluation.promotion_gate import NotPromoted
from training.judging.llm_judge import JudgePlan
from training.recipe import EvaluationPlan, Lever, PruningPlan, StartPlan, TeacherPlan
from training.recipes import find_recipe
from training.sources.market import market_lists
from training.step_runner import Run, run_step
from training.steps.evaluate import FloorBroken
from training.trainer.schedule import Phases, Schedule

pytestmark = pytest.mark.slow
ALL_LEVERS = get_args(Lever)
SHORT = Phases(*(Schedule(steps=2, lists_per_step=2, learning_rate=1e-3) for _ in range(2)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All steps, without floors."""
    folder = tmp_path_factory.mktemp("evaluate")
    demo = find_recipe("demo")
    assert demo.engagement is not None
    recipe = replace(
        demo,
        engagement=replace(
            demo.engagement,
            teacher=replace(demo.engagement.teacher, phases=SHORT),
            student=replace(demo.engagement.student, schedule=SHORT.pairs),
        ),
        ablated=ALL_LEVERS,
        data=replace(
            demo.data, lists=lambda _: market_lists(lists={"train": 8, "valid": 8, "test": 16}, candidates=6, seed=0)
        ),
        start=StartPlan(schedule=SHORT.sides),
        teacher=TeacherPlan(schedule=SHORT.pairs),
        student=replace(demo.student, phases=SHORT),
        pruning=PruningPlan(shares=(0.5,), schedule=SHORT.sides),
        evaluation=EvaluationPlan(floors={}, audited_lists=4),
    )
    found = Run(recipe, folder, folder / "runs", folder / "bundles")
    run_all(found)
    return found


def with_evaluation(run: Run, plan: EvaluationPlan) -> Run:
    return replace(run, recipe=replace(run.recipe, evaluation=plan))


def test_the_report_holds_every_part(run: Run) -> None:
    report = json.loads((run.folder("evaluate") / "report.json").read_text(encoding="utf-8"))
    market = report["heads"]["relevance"]["sources"]["market"]
    assert {"teacher", "student", "student-int8", "bm25", "cosine"} <= market["systems"].keys()
    assert "kappa" in market["systems"]["student-int8"]
    assert sum(each["count"] for each in market["reliability"]) == 16 * 6
    assert {"seniority", "length of the member's text"} <= report["heads"]["relevance"]["slices"].keys()
    assert {"names", "gender", "age"} == report["fairness"].keys()
    assert report["promotion"] is None
    assert {"click", "apply"} <= report["heads"].keys()
    assert "teacher" in report["heads"]["click"]["sources"]["log of market"]["systems"]
    assert [each["weight"] for each in report["shares"]["points"]] == [0.0, 0.5]
    assert [row["without"] for row in report["ablation"]] == list(ALL_LEVERS)
    assert report["ablation"][0]["minus_whole"].keys() == {"relevance NDCG@10", "click AUC", "apply AUC"}
    assert report["variants"][-1]["name"] == "pruned-50-int8"


def test_the_page_shows_the_worst_pairs_and_the_report_does_not(run: Run) -> None:
    page = (run.folder("evaluate") / "report.html").read_text(encoding="utf-8")
    assert "worked near the" in page
    assert "worked near the" not in (run.folder("evaluate") / "report.json").read_text(encoding="utf-8")


def test_the_manifest_names_results_that_were_accepted(run: Run) -> None:
    data = replace(run.recipe.data, judge=JudgePlan(pairs=5))
    changed = replace(run, recipe=replace(run.recipe, data=data))
    assert not run_step(load_step("judge"), changed, accept="fewer pairs change nothing")
    assert run_step(load_step("export"), changed)
    steps = Bundle.load(run.resources().bundle).manifest.training["steps"]
    assert steps["judge"]["accepted"] == [{"reason": "fewer pairs change nothing", "changed": ["plan"]}]
    assert "accepted" not in steps["teach"]


def test_a_bundle_without_graphs_for_gpus_serves_every_device_by_its_int8_graphs(run: Run) -> None:
    whole = Bundle.load(run.resources().bundle)
    small = replace(run, recipe=replace(run.recipe, export=replace(run.recipe.export, gpu_graph=False)))
    assert run_step(load_step("export"), small)
    bundle = Bundle.load(run.resources().bundle)
    for device in ("cpu", "cuda"):
        assert {graph.precision for graph in graphs_for(bundle, device).values()} == {"int8"}
    assert {graph.precision for graph in graphs_for(whole, "cuda").values()} == {"fp16"}
    sizes = [sum(map(len, each.contents.values())) for each in (bundle, whole)]
    assert sizes[0] < 0.6 * sizes[1]


def test_a_student_is_compared_with_the_live_bundle(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    again = with_evaluation(run, EvaluationPlan(floors={}, audited_lists=0))
    run_step(load_step("evaluate"), again)
    promotion = json.loads((run.folder("evaluate") / "report.json").read_text(encoding="utf-8"))["promotion"]
    assert promotion["promoted"]
    assert promotion["live"] == "demo-v1"
    # The same student does not pass a gate that asks for a gain: it is no better than itself.
    monkeypatch.setattr("training.evaluation.promotion_gate.decidable_margin", lambda *_: -0.01)
    with pytest.raises(NotPromoted, match="minus demo-v1"):
        run_step(load_step("evaluate"), run)


def test_a_floor_stops_a_bad_student_after_the_report_is_written(run: Run) -> None:
    strict = with_evaluation(run, EvaluationPlan(floors={"relevance/market/auc": 1.01}))
    with pytest.raises(FloorBroken, match=r"under the floor of 1\.01"):
        run_step(load_step("evaluate"), strict)
    assert (run.folder("evaluate") / "report.html").exists()
