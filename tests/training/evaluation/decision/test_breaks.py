"""Breaks name the pair, the judge's reasons and the rule; the pairs come back as grades of people."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.template import FieldFormat, Template
from training.data.held_out import HeldOutList, HeldOutSet, Judgement
from training.data.lists import FieldList
from training.data.source_files import SourceFiles
from training.data.tables import DataError
from training.evaluation.decision.agreement import agreements
from training.evaluation.decision.breaks import broken_rule, regrade_rows, worst_breaks
from training.evaluation.decision.command import write_regrade
from training.evaluation.decision.page import decision_html, decision_markdown
from training.evaluation.decision.report import About, DecisionReport, build
from training.evaluation.decision.scoring import Scored, score_set
from training.evaluation.decision.tables import REGRADE as FILE
from training.evaluation.systems.interface import System
from training.judging.golden_set import NO_GRADES, make_golden, read_golden
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.policy.policy import OVERALL
from training.recipe import DecisionPlan
from training.sources.grade_files import REGRADE, with_regraded
from training.sources.held_out.judged import judged_jobs_set

POLICY = read_policy(POLICIES / "jobs.md")
GRADES: dict[str, int | None] = {"role": 4, "skills": 1, "seniority": 4, "domain": 4, "constraints": None}
TEMPLATE = Template(
    member=(FieldFormat(name="headline"), FieldFormat(name="skills")), candidate=(FieldFormat(name="title"),)
)


def judged_set(grades: dict[str, int | None] = GRADES) -> HeldOutSet:
    """A pair with these grades beside nine of grade 4, in each of six lists."""
    gains: dict[str, list[float | None]] = {
        name: [None if grade is None else grade / 4] + [1.0] * 9
        for name, grade in {**grades, OVERALL: POLICY.overall(grades)}.items()
    }
    lists = []
    for number in range(6):
        judgements = [
            Judgement(f"m{number}", f"j{number}-{place}", {"skills": "no budget work"}) for place in range(10)
        ]
        member = {"headline": f"Baker {number}", "skills": ["dough", "ovens"]}
        one = FieldList(f"l{number}", "judged", "test", member, [{"title": f"Job {n}"} for n in range(10)], gains)
        lists.append(HeldOutList(one, f"c{number}", judgements=tuple(judgements)))
    return HeldOutSet("judged", "judged by a large model", "A test.", tuple(lists), ("ndcg@10",), (), tuple(grades))


def student(stated: float) -> System:
    """States one value for everything."""
    names = (OVERALL, *GRADES)
    return System(
        "student",
        "student",
        lambda lists: {name: np.full(10 * len(lists), stated) for name in names},
        is_calibrated=True,
    )


def scored(of: HeldOutSet, stated: float = 1.0) -> Scored:
    return score_set(of, [student(stated)], None)[0]


def test_a_break_names_the_pair_its_reasons_and_the_cap_that_it_broke() -> None:
    found = worst_breaks(judged_set(), scored(judged_set()), POLICY)
    assert [each.candidate_id for each in found] == ["j0-0", "j1-0", "j2-0", "j3-0"]  # four of one question at most
    one = found[0]
    cap = min((each for each in POLICY.caps if each.dimension == "skills" and each.grade >= 1), key=lambda c: c.overall)
    assert one.judged == POLICY.overall(GRADES) == cap.overall
    assert (one.stated, one.question, one.place) == (4.0, "skills", 1)
    assert one.rule == f"skills is 1: at most {cap.grade} there makes at most {cap.overall} overall"
    assert next(each for each in one.answers if each.question == "skills").reason == "no budget work"
    assert next(each for each in one.answers if each.question == "constraints").judged is None
    assert one.member == "Baker 0 · dough, ovens"


def test_without_a_cap_the_weighted_mean_is_the_rule() -> None:
    middling: dict[str, int | None] = dict.fromkeys(GRADES, 3)
    assert broken_rule(POLICY, middling).startswith("the weighted mean of role 3, skills 3")
    assert broken_rule(POLICY, GRADES).startswith("skills is 1")


def test_what_the_judge_grades_alike_is_no_break() -> None:
    assert worst_breaks(judged_set(dict.fromkeys(GRADES, 4)), scored(judged_set()), POLICY) == []
    bare = tuple(dataclasses.replace(each, judgements=()) for each in judged_set().lists)
    assert worst_breaks(dataclasses.replace(judged_set(), lists=bare), scored(judged_set()), POLICY) == []


def test_real_sets_carry_a_reason_for_every_grade() -> None:
    real = judged_jobs_set(POLICY, "valid")
    for each in real.lists:
        assert len(each.judgements) == len(each.list.candidates)
        assert all(judgement.reasons.get("role") for judgement in each.judgements)


def report(of: HeldOutSet) -> DecisionReport:
    plan = DecisionPlan(sets=lambda *_: [of], main="judged", above=(), not_worse=(), calibrated_on="judged")
    about = About("jobs", POLICY, "valid", "2026-12-01", "abcdef", "2 cores", "report jobs")
    return build(plan, [of], [student(1.0)], {}, about)


def test_the_first_screen_has_the_policy_and_where_the_student_breaks_it() -> None:
    page = decision_html(report(judged_set()))
    first = page[: page.index("<nav>")]
    assert POLICY.stamp in first
    assert "Not decided: these are validation lists" in first
    assert "Not measured: calibrated on judged" in first
    assert "Weakest question: skills, 10% of 60 pairs two grades apart." in first
    assert "Worst breaks: 4 pairs, 4 of them by skills." in first
    assert set(re.findall(r"""(?:src|href)=["']([^"'#]+)["']""", page)) == {FILE}  # a link, which loads nothing
    assert "no budget work" in page[page.index("<nav>") :]
    for text in (page, decision_markdown(report(judged_set()))):
        assert "there makes at most" in text


def test_grades_are_counted_by_question_and_grade() -> None:
    found = {each.question: each for each in agreements(judged_set(), scored(judged_set()), None)}
    assert found["constraints"].pairs == 54  # null is no grade
    skills = found["skills"]
    assert skills.counts == ((0,) * 5, (0, 0, 0, 0, 6), (0,) * 5, (0,) * 5, (0, 0, 0, 0, 54))
    assert skills.stated == (None, 4.0, None, None, 4.0)
    assert (skills.pairs, skills.far) == (60, 0.1)


@pytest.fixture
def regrade(tmp_path: Path) -> Path:
    """The table as a report writes it."""
    held_out = judged_set()
    path = tmp_path / REGRADE
    write_regrade(path, regrade_rows(worst_breaks(held_out, scored(held_out), POLICY), [held_out], POLICY))
    return path


def test_the_table_to_regrade_shows_no_grade(regrade: Path) -> None:
    rows = list(csv.DictReader(regrade.read_text(encoding="utf-8").splitlines()))
    assert [row["candidate_id"] for row in rows] == ["j0-0", "j1-0", "j2-0", "j3-0"]
    assert list(rows[0])[:5] == ["member_id", "candidate_id", "member.headline", "member.skills", "candidate.title"]
    assert rows[0]["member.skills"] == "dough, ovens"
    assert {rows[0][f"grade.{name}"] for name in GRADES} | {rows[0]["rater"]} == {""}
    assert FILE == REGRADE


def test_golden_reads_the_rows_that_people_filled_in(regrade: Path, tmp_path: Path) -> None:
    assert with_regraded(NO_GRADES, SourceFiles(tmp_path)) is NO_GRADES  # no row has a grade yet
    table = pl.read_csv(regrade, infer_schema=False)
    first = pl.int_range(pl.len()) == 0
    named = {"grade.skills": "3", "rater": "ann"}
    filled = [pl.when(first).then(pl.lit(value)).otherwise(pl.lit(None)).alias(name) for name, value in named.items()]
    table.with_columns(filled).write_csv(regrade)
    make_golden(with_regraded(NO_GRADES, SourceFiles(tmp_path)), POLICY, TEMPLATE, tmp_path)
    golden = read_golden(tmp_path / "golden.parquet", POLICY)
    assert golden.select("member_id", "candidate_id", "member", "candidate", "dimension", "grade").rows() == [
        ("m0", "j0-0", "Baker 0. dough, ovens", "Job 0", "skills", 3)
    ]


def test_a_regrade_outside_the_scale_is_named(regrade: Path, tmp_path: Path) -> None:
    pl.read_csv(regrade, infer_schema=False).with_columns(pl.lit("7").alias("grade.role")).write_csv(regrade)
    with pytest.raises(DataError, match=r"regrade\.csv.*grade\.role.*0 to 4"):
        with_regraded(NO_GRADES, SourceFiles(tmp_path))


def test_no_break_leaves_no_old_table_behind(regrade: Path) -> None:
    write_regrade(regrade, [])
    assert not regrade.exists()
