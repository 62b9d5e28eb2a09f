"""`policy lint`: the rule over all combinations of grades. Faults are found where they were planted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from training.__main__ import main
from training.policy.documents import POLICIES
from training.policy.lint import LintReport, lint, lint_markdown
from training.policy.parser import read_policy
from training.policy.policy import Cap, Policy

JOBS = read_policy(POLICIES / "jobs.md")
DEMO = read_policy(POLICIES / "demo.md")


def surprises(report: LintReport) -> dict[str, tuple[int, str]]:
    return {each.sentence: (each.combinations, each.example) for each in report.surprises}


@pytest.mark.parametrize("name", ["jobs", "products", "demo"])
def test_the_rules_of_the_project_have_no_faults(name: str) -> None:
    report = lint(read_policy(POLICIES / f"{name}.md"))
    assert report.faults == ()
    assert all(report.reaches.values())
    assert "None: no better grade" in lint_markdown(report)


def test_no_job_without_its_main_skill_or_a_demanded_field_reaches_the_first_page() -> None:
    found = surprises(lint(JOBS))
    assert not [each for each in found if each.startswith(("role 0 d", "role 1 d", "skills 0", "skills 1", "domain 0"))]
    assert not [each for each in found if "(overall 4)" in each]


def test_what_the_first_version_of_the_jobs_rule_contradicted_is_listed() -> None:
    added = {("skills", 1), ("domain", 0), ("domain", 1), ("constraints", 1)}
    first = replace(JOBS, caps=tuple(cap for cap in JOBS.caps if (cap.dimension, cap.grade) not in added))
    found = surprises(lint(first))
    skills = found["skills 1 does not keep a candidate from the first page (overall 3)"]
    assert "role 4, skills 1" in skills[1]
    domain = found["domain 0 does not keep a candidate from the first page (overall 4)"]
    assert domain[1] == "role 4, skills 4, seniority 4, domain 0, constraints 4 -> 4"


@pytest.mark.parametrize(
    "cap",
    [Cap("role", 0, 2), Cap("role", 1, 4), Cap("skills", 4, 4), Cap("role", 1, 2)],
    ids=["the mean is as low", "no limit", "everything", "a second one"],
)
def test_a_cap_that_never_decides_is_a_fault(cap: Cap) -> None:
    report = lint(replace(DEMO, caps=(*DEMO.caps, cap)))
    assert (
        f"the cap `{cap.dimension} | {cap.grade} | {cap.overall}` never decides: take it out, or mend it"
        in report.faults
    )


def test_an_overall_grade_that_nothing_reaches_is_a_fault() -> None:
    report = lint(replace(DEMO, caps=tuple(Cap(name, 4, 3) for name in DEMO.dimension_names)))
    assert report.faults == ("no combination of grades has the overall grade 4",)


@dataclass(frozen=True)
class Turned(Policy):
    """A rule that falls when `skills` rises from 3 to 4."""

    def overall(self, grades: Mapping[str, int | None]) -> int | None:
        return 0 if grades.get("skills") == 4 else super().overall(grades)


def test_a_better_grade_that_lowers_the_overall_grade_is_a_fault() -> None:
    (fault, *_) = lint(Turned(**vars(DEMO))).faults
    assert fault == (
        "a better grade of 'skills' lowers the overall grade: role 4, skills 3, seniority 4 gives 4,"
        " role 4, skills 4, seniority 4 gives 0"
    )


def test_a_poor_overall_grade_of_good_grades_is_listed() -> None:
    found = surprises(lint(replace(DEMO, caps=(Cap("role", 3, 1),))))
    assert found["the overall grade is poor although every grade is a 3 or a 4"][1].startswith("role 3, skills 4")


def test_the_weight_of_what_was_graded_is_listed_where_it_is_small() -> None:
    sentence = "dimensions of less than half of the weight suffice for the first page"
    assert surprises(lint(JOBS))[sentence][1] == (
        "role null, skills null, seniority null, domain 4, constraints null -> 4"
    )


def test_the_command_reads_a_recipe_or_a_file_and_ends_with_1_for_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "lint", "jobs"]) == 0
    assert f"# The rule of {JOBS.stamp}" in capsys.readouterr().out
    bad = tmp_path / "mine.md"
    text = (POLICIES / "demo.md").read_text(encoding="utf-8")
    bad.write_text(text.replace("| role | 1 | 2 |", "| role | 0 | 2 |"), encoding="utf-8")
    assert main(["policy", "lint", str(bad)]) == 1
    assert "the cap `role | 0 | 2` never decides" in capsys.readouterr().out
    assert main(["policy", "lint", str(tmp_path / "none.md")]) == 1
    assert (
        capsys.readouterr().err
        == f"policy lint {tmp_path / 'none.md'}: none.md:1: not a readable UTF-8 text (FileNotFoundError)\n"
    )
