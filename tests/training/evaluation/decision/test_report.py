"""The whole report: gates from what was measured, targets beside what was found, page and Markdown."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from pydantic import TypeAdapter

from tests.support.held_out import held_out, system
from training.data.held_out import ALL
from training.evaluation.decision.lines import LEAD_SHARE
from training.evaluation.decision.looks import Look
from training.evaluation.decision.page import decision_html, decision_markdown
from training.evaluation.decision.report import About, DecisionReport, build
from training.evaluation.decision.sections import ablation_note
from training.evaluation.report import Ablation, to_json
from training.evaluation.systems.interface import System
from training.metrics.bootstrap import Interval
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.recipe import DecisionPlan, Target

REAL = dataclasses.replace(held_out(), name="usajobs", graded_dimensions=(), only_what_ships=True)
PLAN = DecisionPlan(
    sets=lambda sources, split: [held_out(), REAL],
    main="judged",
    above=("bm25",),
    not_worse=("usajobs", "crosswalk"),
    calibrated_on="judged",
    targets=(
        Target("teacher", "teacher", "judged", ALL, "ndcg@10", 0.5),
        Target("least kappa", "teacher", "judged", ALL, "kappa: least dimension", 1.01),
        Target("share", "student", "judged", ALL, "ndcg@10, share of teacher", 0.5, 0.6),
        Target("lead", "student", "judged", ALL, f"ndcg@10, {LEAD_SHARE}", 0.1, 0.2),
        Target("titles", "student", "titles", ALL, "ndcg@10", 0.5),
    ),
)
POLICY = read_policy(POLICIES / "jobs.md")
ABOUT = About("jobs", POLICY, "test", "2026-12-01", "abcdef", "2 cores", "python -m training report jobs", ("A note.",))
LIVE, BM25 = system("jobs-v1", 0.5, "live"), dataclasses.replace(system("bm25", 0.9, "baseline"), is_calibrated=False)
STUDENTS = [system("student", 0.05, seed=seed) for seed in range(3)]
OTHERS = [LIVE, BM25, system("teacher", 0.04, "teacher"), system("dot", 0.6, "dot")]


def report(*systems: System, plan: DecisionPlan = PLAN) -> DecisionReport:
    looks = {"judged": Look(3, 2)}
    return build(plan, [held_out(), REAL], systems, looks, ABOUT, ablation=[Ablation("soft labels", {})])


@pytest.fixture(scope="module")
def whole() -> DecisionReport:
    return report(*OTHERS, *STUDENTS)


def test_every_gate_is_there_with_its_state(whole: DecisionReport) -> None:
    assert {gate.name: gate.state for gate in whole.gates} == {
        "above jobs-v1 on judged": "passed",
        "above bm25 on judged": "passed",
        "not worse than jobs-v1 on usajobs": "passed",
        "not worse than jobs-v1 on crosswalk": "not measured",
        "calibrated on judged": "passed",
        "Brier skill on judged": "passed",
    }
    assert whole.verdict.ships is False
    assert "Not measured: not worse than jobs-v1 on crosswalk." in whole.verdict.sentence


def test_a_student_that_passes_every_gate_ships() -> None:
    plan = dataclasses.replace(PLAN, not_worse=("usajobs",))
    assert report(*OTHERS, *STUDENTS, plan=plan).verdict.ships is True


def test_a_student_below_what_is_live_does_not_ship() -> None:
    plan = dataclasses.replace(PLAN, not_worse=("usajobs",))
    found = report(system("jobs-v1", 0.1, "live"), BM25, system("student", 2.0), plan=plan)
    states = {gate.name: gate.state for gate in found.gates}
    assert states["above jobs-v1 on judged"] == states["not worse than jobs-v1 on usajobs"] == "failed"


def test_targets_have_a_state_each(whole: DecisionReport) -> None:
    assert [each.state for each in whole.targets] == ["met", "missed", "goal reached", "goal reached", "not measured"]


def test_an_undefined_share_says_why() -> None:
    same = [system("teacher", 0.3, "teacher"), system("dot", 0.3, "dot"), system("student", 0.3)]
    lead = report(BM25, *same).targets[3]
    assert lead.state == "undefined"
    assert "not above zero" in lead.why


def test_long_sets_are_asked_of_what_ships_alone(whole: DecisionReport) -> None:
    judged, usajobs = whole.sets
    assert {x.system for x in usajobs.lines} == {"jobs-v1", "bm25", "student", "dot"}
    assert next(x for x in judged.lines if x.system == "student").by_seed
    assert not next(x for x in usajobs.lines if x.system == "student").by_seed


def test_the_verdict_is_the_first_thing_on_the_page(whole: DecisionReport) -> None:
    page = decision_html(whole)
    assert page.index("Does not ship") < page.index("not worse than jobs-v1 on usajobs") < page.index("<table")
    assert "Nothing to decide" in decision_html(report(LIVE, BM25))


def test_the_page_loads_nothing_and_names_its_looks(whole: DecisionReport) -> None:
    page = decision_html(whole)
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
    assert "Look number 3 at this test; 2 looks at an earlier form of it." in page
    assert page.count("<svg") == 3  # the leading figure of two sets, and the grades of one
    assert decision_html(whole) == page


def test_the_markdown_has_gates_and_all_systems_with_their_counts(whole: DecisionReport) -> None:
    text = decision_markdown(whole)
    assert "| above jobs-v1 on judged | passed |" in text
    assert re.search(r"\| student \| 60 / 20 \| [01]\.\d{3} \[[01]\.\d{3}, [01]\.\d{3}\]; seeds ", text)
    assert "| share of lead |" not in text


def test_no_text_of_a_member_or_candidate_is_in_the_report(whole: DecisionReport) -> None:
    for text in (decision_html(whole), decision_markdown(whole), json.dumps(to_json(DecisionReport, whole))):
        assert "m17" not in text


def test_the_report_comes_back_from_its_json(whole: DecisionReport) -> None:
    found = json.loads(json.dumps(to_json(DecisionReport, whole)))
    assert TypeAdapter(DecisionReport).validate_python(found).gates == whole.gates


def test_the_ablation_says_which_levers_move_nothing() -> None:
    moved, still = Interval(-0.02, -0.03, -0.01), Interval(0.001, -0.01, 0.01)
    rows = [Ablation("soft labels", {"NDCG@10": moved, "AUC": still}), Ablation("gold anchor", {"NDCG@10": still})]
    note = ablation_note(rows)
    assert "Without these the student changes: soft labels (NDCG@10 -0.020 [-0.030, -0.010])." in note
    assert "These move nothing that this sample can show: gold anchor." in note
    assert ablation_note(rows[1:]).startswith("No lever moves any figure.")
    assert "No ablation was run" in ablation_note([])
