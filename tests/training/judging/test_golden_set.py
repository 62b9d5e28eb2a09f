"""Human grades become a golden set: adjudicated, split by member, measured; unusable rows are named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from models.template import FieldFormat, Template
from training.data.source_files import SourceFiles
from training.data.tables import DataError
from training.judging.golden_set import GradedPair, HumanGrade, HumanGrades, make_golden, read_golden
from training.policy.documents import POLICIES
from training.policy.parser import parse_policy, read_policy
from training.policy.policy import Policy, PolicyMismatch
from training.policy.stamps import section_stamps
from training.sources.crosswalk_grades import crosswalk_grades
from training.sources.esci import shopping_grades
from training.sources.grade_files import read_human_grades
from training.sources.market import market_grades

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"there is no real data in {DATA}")
POLICY = read_policy(POLICIES / "demo.md")
TEMPLATE = Template(member=(FieldFormat(name="headline"),), candidate=(FieldFormat(name="title"),))


def human(*grades: tuple[str, str, str, int]) -> HumanGrades:
    """Grades of member, dimension, rater; every member is paired with one job."""
    members = dict.fromkeys(member for member, *_ in grades)
    return HumanGrades(
        origin="tool",
        pairs=[GradedPair(m, "job", {"headline": f"text of {m}"}, {"title": "baker"}) for m in members],
        grades=[HumanGrade(m, "job", dimension, rater, grade) for m, dimension, rater, grade in grades],
        authority=("lead", "ann", "bob"),
        about="All of it was asked.",
    )


def golden_of(graded: HumanGrades, folder: Path) -> pl.DataFrame:
    make_golden(graded, POLICY, TEMPLATE, folder)
    return read_golden(folder / "golden.parquet", POLICY)


def test_the_first_rater_in_authority_decides_where_raters_differ(tmp_path: Path) -> None:
    graded = human(
        ("a", "role", "ann", 3), ("a", "role", "bob", 3),
        ("b", "role", "bob", 1), ("b", "role", "ann", 4),
        ("c", "role", "ann", 0), ("c", "role", "bob", 4), ("c", "role", "lead", 2),
        ("d", "role", "bob", 2),
    )  # fmt: skip
    golden = golden_of(graded, tmp_path)
    assert dict(golden.select("member_id", "grade").iter_rows()) == {"a": 3, "b": 4, "c": 2, "d": 2}
    assert dict(golden.select("member_id", "how").iter_rows()) == {
        "a": "agreed",
        "b": "decided by ann",
        "c": "decided by lead",
        "d": "one rater",
    }


def test_disagreements_list_ids_and_grades_widest_first_and_no_text(tmp_path: Path) -> None:
    graded = human(
        ("a", "role", "ann", 3), ("a", "role", "bob", 2),
        ("b", "skills", "ann", 0), ("b", "skills", "bob", 4),
        ("c", "role", "ann", 1), ("c", "role", "bob", 1),
    )  # fmt: skip
    golden_of(graded, tmp_path)
    listed = (tmp_path / "disagreements.csv").read_text().splitlines()
    assert listed == ["member_id,candidate_id,dimension,gap,ann,bob", "b,job,skills,4,0,4", "a,job,role,1,3,2"]


def test_a_member_is_in_one_split_which_new_members_do_not_change(tmp_path: Path) -> None:
    few = golden_of(market_grades(members=40, candidates=4, seed=3), tmp_path)
    many = golden_of(market_grades(members=200, candidates=4, seed=3), tmp_path)
    assert few.group_by("member_id").agg(pl.col("split").n_unique())["split"].to_list() == [1] * 40
    assert set(many["split"]) == {"train", "valid", "test"}
    both = few.join(many, on=["member_id", "candidate_id", "dimension"])
    assert (both["split"] == both["split_right"]).all()


def test_agreement_of_raters_is_reported_per_dimension(tmp_path: Path) -> None:
    golden_of(market_grades(members=150, candidates=4, seed=1), tmp_path)
    report = json.loads((tmp_path / "agreement.json").read_text())
    between = {each["dimension"]: each for each in report["agreement"]}
    assert {(each["first"], each["second"]) for each in report["agreement"]} == {("first", "second")}
    assert set(between) == {"role", "skills", "seniority"}
    for each in between.values():
        assert each["pairs"] == 600
        assert 0.8 < each["kappa"]["low"] < each["kappa"]["mean"] < each["kappa"]["high"] < 1
    assert "quadratic kappa" in (tmp_path / "report.md").read_text()


def test_agreement_is_not_measured_with_a_single_rater(tmp_path: Path) -> None:
    golden_of(human(("a", "role", "ann", 3)), tmp_path)
    assert "agreement is not measured" in (tmp_path / "report.md").read_text()


def edited(old: str, new: str) -> Policy:
    text = (POLICIES / "demo.md").read_text(encoding="utf-8")
    assert old in text
    return parse_policy(text.replace(old, new), "demo.md")


def test_every_grade_carries_its_section_and_a_changed_section_voids_its_own_grades(tmp_path: Path) -> None:
    golden = golden_of(human(("a", "role", "ann", 3), ("a", "skills", "ann", 3), ("b", "overall", "ann", 3)), tmp_path)
    stamps = section_stamps(POLICY)
    assert golden["policy"].to_list() == [stamps["role"], stamps["skills"], stamps["overall"]]
    other = edited("Every wanted skill.", "All skills.")
    with pytest.raises(PolicyMismatch) as caught:
        read_golden(tmp_path / "golden.parquet", other)
    assert "golden.parquet: row 1, column 'policy': the grade of 'skills'" in str(caught.value)
    assert stamps["skills"] in str(caught.value)
    assert other.stamp in str(caught.value)


def test_a_changed_rule_keeps_every_grade_of_a_dimension(tmp_path: Path) -> None:
    other = edited("| role | 1 | 2 |", "| role | 1 | 1 |")
    golden = golden_of(human(("a", "role", "ann", 3), ("a", "skills", "ann", 3)), tmp_path)
    assert read_golden(tmp_path / "golden.parquet", other).equals(golden)
    golden_of(human(("a", "overall", "ann", 3)), tmp_path)
    with pytest.raises(PolicyMismatch, match="row 0, column 'policy': the grade of 'overall'"):
        read_golden(tmp_path / "golden.parquet", other)


def without_pairs(graded: HumanGrades) -> HumanGrades:
    return dataclasses.replace(graded, pairs=graded.pairs[:1])


def without_text(graded: HumanGrades) -> HumanGrades:
    return dataclasses.replace(graded, pairs=[dataclasses.replace(graded.pairs[0], member={}), *graded.pairs[1:]])


def paired_twice(graded: HumanGrades) -> HumanGrades:
    return dataclasses.replace(graded, pairs=[*graded.pairs, graded.pairs[0]])


def second_row(**changes: Any) -> Callable[[HumanGrades], HumanGrades]:
    def change(graded: HumanGrades) -> HumanGrades:
        changed = dataclasses.replace(graded.grades[1], **changes)
        return dataclasses.replace(graded, grades=[graded.grades[0], changed])

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (second_row(grade=5), "tool: grades: row 1, column 'grade': outside the grades of demo-policy@1.1.0, 0 to 4"),
        (second_row(grade=-1), "tool: grades: row 1, column 'grade': outside the grades"),
        (
            second_row(dimension="charm"),
            "tool: grades: row 1, column 'dimension': demo-policy@1.1.0 has the dimensions",
        ),
        (second_row(rater="eve"), "tool: grades: row 1, column 'rater': the raters are lead, ann, bob"),
        (second_row(member_id=""), "tool: grades: row 1, column 'member_id': empty"),
        (second_row(member_id="a"), "tool: grades: row 0, column 'rater': graded this pair twice"),
        (without_pairs, "tool: grades: row 1, column 'candidate_id': the pair is not among the graded pairs"),
        (without_text, "tool: pairs: row 0, column 'member': empty"),
        (paired_twice, "tool: pairs: row 0, column 'candidate_id': the pair appears twice"),
        (lambda graded: dataclasses.replace(graded, grades=[]), "tool: grades: there are no rows"),
        (lambda graded: dataclasses.replace(graded, pairs=[]), "tool: pairs: there are no rows"),
    ],
    ids=lambda each: each[:60] if isinstance(each, str) else "",
)
def test_an_unusable_row_is_named(tmp_path: Path, change: Callable[[HumanGrades], HumanGrades], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        golden_of(change(human(("a", "role", "ann", 3), ("b", "role", "ann", 2))), tmp_path)
    assert str(caught.value).startswith(sentence)


def test_grades_are_read_from_the_export_of_a_grading_tool(tmp_path: Path) -> None:
    pairs = {"member_id": ["a"], "candidate_id": ["j"], "member.headline": ["baker"], "candidate.title": ["cook"]}
    grades = {"member_id": ["a"], "candidate_id": ["j"], "dimension": ["role"], "rater": ["ann"], "grade": [3.0]}
    pl.DataFrame(pairs).write_parquet(tmp_path / "pairs.parquet")
    pl.DataFrame(grades).write_parquet(tmp_path / "grades.parquet")
    golden = golden_of(read_human_grades(tmp_path, authority=("ann",), about="Fit."), tmp_path)
    assert golden.select("member", "candidate", "grade").row(0) == ("baker", "cook", 3)
    for bad in (3.5, None):
        pl.DataFrame({**grades, "grade": [bad]}, schema_overrides={"grade": pl.Float64}).write_parquet(
            tmp_path / "grades.parquet"
        )
        with pytest.raises(DataError, match=r"grades\.parquet: row 0, column 'grade': a grade must be a whole number"):
            read_human_grades(tmp_path, authority=("ann",), about="Fit.")


@needs_data
def test_the_two_crosswalks_barely_agree_because_they_grade_different_things(tmp_path: Path) -> None:
    graded = crosswalk_grades(SourceFiles(DATA))
    make_golden(graded, read_policy(POLICIES / "jobs.md"), TEMPLATE, tmp_path)
    (found,) = json.loads((tmp_path / "agreement.json").read_text())["agreement"]
    assert found["dimension"] == "role"
    assert found["kappa"]["mean"] == pytest.approx(0.1, abs=0.03)
    assert "They grade different things" in (tmp_path / "report.md").read_text()


@needs_data
def test_labels_of_queries_are_overall_grades_of_the_products_policy(tmp_path: Path) -> None:
    graded = shopping_grades(SourceFiles(DATA))
    template = Template(member=(FieldFormat(name="query"),), candidate=(FieldFormat(name="title"),))
    make_golden(graded, read_policy(POLICIES / "products.md"), template, tmp_path)
    report = json.loads((tmp_path / "agreement.json").read_text())
    assert report["grades"] == {"overall": {"0": 780, "1": 140, "2": 1286, "4": 2248}}
