"""Policy documents: their content, their hash, and errors that name the line of each mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from training.policy.markdown import DocumentError
from training.policy.parser import parse_policy, read_policy
from training.policy.policy import Policy, PolicyMismatch, check_stamp

POLICIES = Path(__file__).parents[3] / "training" / "policy" / "documents"
TEXT = (POLICIES / "demo.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return parse_policy(TEXT, "demo.md")


def line_of(text: str, part: str) -> int:
    """The line on which a part of the text begins, from 1; `part#2` is its second occurrence."""
    wanted, _, occurrence = part.rpartition("#") if part[-2] == "#" else (part, "", "1")
    at = -1
    for _ in range(int(occurrence)):
        at = text.index(wanted, at + 1)
    return text.count("\n", 0, at) + 1


@pytest.mark.parametrize(("name", "version"), [("jobs", "1.1.0"), ("products", "1.0.0"), ("demo", "1.1.0")])
def test_every_policy_of_the_project_is_read(name: str, version: str) -> None:
    policy = read_policy(POLICIES / f"{name}.md")
    assert policy.label == f"{name}-policy@{version}"
    assert all(len(dimension.grades) == 5 for dimension in policy.dimensions)
    assert sum(dimension.weight for dimension in policy.dimensions) == 100


@pytest.mark.parametrize("name", ["jobs", "products"])
def test_examples_of_a_product_cover_at_least_four_grades_of_each_dimension(name: str) -> None:
    for dimension in read_policy(POLICIES / f"{name}.md").dimensions:
        assert len({example.grade for example in dimension.examples}) >= 4, dimension.name


def test_a_document_becomes_dimensions_grades_examples_and_caps(policy: Policy) -> None:
    role = policy.dimensions[0]
    assert policy.dimension_names == ("role", "skills", "seniority")
    assert (role.weight, role.question) == (40, "Do member and job name the same trade?")
    assert [grade.value for grade in role.grades] == [4, 3, 2, 1, 0]
    assert role.grades[3].meaning == "Another trade that shares one of the wanted skills."
    assert role.examples[1].because == "Baking and welding have nothing in common."
    assert [(cap.dimension, cap.grade, cap.overall) for cap in policy.caps] == [("role", 1, 2)]


def test_the_hash_covers_every_word_and_ignores_line_ends_and_trailing_spaces(policy: Policy) -> None:
    assert parse_policy(TEXT.replace("\n", "  \r\n"), "x").sha256 == policy.sha256
    assert parse_policy(TEXT.replace("Both are bakers.", "Both bake."), "x").sha256 != policy.sha256
    assert parse_policy(TEXT.replace("Short, because", "Brief, because"), "x").stamp != policy.stamp


def test_an_object_of_another_policy_text_is_refused_with_both_stamps(policy: Policy) -> None:
    check_stamp(policy.stamp, policy, "the teacher")
    other = parse_policy(TEXT.replace("Both are bakers.", "Both bake."), "x")
    expected = f"the teacher was made under policy {other.stamp}, and the recipe's policy is {policy.stamp}"
    with pytest.raises(PolicyMismatch, match=re.escape(expected)):
        check_stamp(other.stamp, policy, "the teacher")


@pytest.mark.parametrize(
    ("grades", "overall"),
    [
        ({"role": 4, "skills": 4, "seniority": 4}, 4),
        ({"role": 4, "skills": 2, "seniority": 4}, 3),  # mean 3.2
        ({"role": 4, "skills": 3, "seniority": None}, 3),  # mean 3.5: halves go down
        ({"role": 0, "skills": 4, "seniority": 4}, 2),  # mean 2.4
        ({"role": 1, "skills": 4, "seniority": 4}, 2),  # mean 2.8; the cap allows 2
        ({"role": 0, "skills": None, "seniority": 4}, 1),  # mean 4/3
        ({"role": None, "skills": 4, "seniority": 4}, 4),  # a dimension without a grade caps nothing
        ({"role": None, "skills": None}, None),
    ],
)
def test_the_overall_grade_is_the_weighted_mean_of_graded_dimensions(
    policy: Policy, grades: dict[str, int | None], overall: int | None
) -> None:
    assert policy.overall(grades) == overall


def test_a_cap_limits_the_overall_grade() -> None:
    jobs = read_policy(POLICIES / "jobs.md")
    fits = dict.fromkeys(jobs.dimension_names, 4)
    assert jobs.overall(fits) == 4
    assert jobs.overall({**fits, "role": 0}) == 0
    assert jobs.overall({**fits, "constraints": 0}) == 1
    assert jobs.overall({**fits, "skills": 1}) == 2
    assert jobs.overall({**fits, "domain": 0}) == 2


OWNERS = next(line for line in TEXT.splitlines(keepends=True) if line.startswith("owners:"))
# The mistake, the edit that makes it (old, new), a part of the line that the error names, a part of the message.
MISTAKES = [
    ("no front matter", ("---\nname", "name"), "name: demo", "front matter is missing"),
    ("front matter that never ends", ("generated\n---\n", "generated\n"), "---\nname", "front matter is not closed"),
    ("front matter that is no YAML", ("product: demo", "product: demo: x"), "product:", "front matter is not YAML"),
    ("an unknown key", ("product: demo", "produkt: demo"), "produkt", "'produkt' is not a key"),
    ("a key that appears twice", ("product: demo", "name: other"), "name: other", "'name' appears twice"),
    ("a value that is a list", ("product: demo", "product: [a, b]"), "product:", "'product' of the front matter must"),
    ("no owners", (OWNERS, ""), "---", "the front matter has no 'owners'"),
    ("a version of two numbers", ("version: 1.1.0", "version: 1.1"), "version:", "'version' is '1.1'"),
    ("a name with spaces", ("name: demo-policy", "name: Demo policy"), "name:", "'name' is 'Demo policy'"),
    ("no rules", ("## Rules", "## Hints"), "- Because: The job is below", "section '## Rules' is missing"),
    ("empty rules", ("- Use only what the two texts say.", ""), "## Rules", "'## Rules' is empty"),
    (
        "rules twice",
        ("## Overall", "## Rules\n\nMore.\n\n## Overall"),
        "## Rules\n\nMore",
        "a second section '## Rules'",
    ),
    ("a misspelt dimension", ("## Dimension: role", "## Dimensions: role"), "## Dimensions", "must read '## Dimension"),
    ("a dimension named in capitals", ("Dimension: role", "Dimension: Role"), "## Dimension: Role", "must read"),
    ("a dimension called overall", ("Dimension: role", "Dimension: overall"), "## Dimension: overall", "must read"),
    (
        "a dimension twice",
        ("Dimension: skills", "Dimension: role"),
        "## Dimension: role#2",
        "a second dimension 'role'",
    ),
    ("no weight", ("Weight: 20\n", ""), "## Dimension: seniority", "'seniority' has no line 'Weight: N'"),
    ("a weight in words", ("Weight: 20", "Weight: twenty"), "Weight: twenty", "the weight of 'seniority' must read"),
    ("a weight of nothing", ("Weight: 20", "Weight: 0"), "Weight: 0", "the weight of 'seniority' must read"),
    ("weights that do not add up", ("Weight: 20", "Weight: 30"), "## Dimension: role", "add up to 110, not 100"),
    ("an unknown part", ("### Question\n\nIs the", "### Questions\n\nIs the"), "### Questions", "is not a part"),
    ("a part twice", ("### Grades", "### Question\n\nX?\n\n### Grades"), "### Question#2", "a second '### Question'"),
    (
        "no question",
        ("### Question\n\nIs the level the same?\n", ""),
        "## Dimension: seniority",
        "has no '### Question'",
    ),
    ("an empty question", ("Is the level the same?", ""), "### Question#3", "'### Question' of dimension 'seniority'"),
    ("a heading too deep", ("### Question\n\nIs", "##### Question\n\nIs"), "##### Question", "skips a level"),
    ("no table of grades", ("| grade |", "grade"), "### Grades", "has no table"),
    ("a table of other columns", ("| grade | name |", "| grade | word |"), "| grade | word", "must have the columns"),
    ("a grade of five", ("| 4 | all |", "| 5 | all |"), "| 5 | all", "'5' is not a grade"),
    ("a grade twice", ("| 3 | most |", "| 4 | most |"), "| 4 | most", "grade 4 of 'skills' appears twice"),
    ("a grade that is missing", ("| 3 | most | Three in four. |\n", ""), "### Grades#2", "has no grade 3"),
    ("a grade without meaning", ("| Three in four. |", "| |"), "| 3 | most", "grade 3 of 'skills' needs"),
    ("examples of one grade", ("#### 1: a step down", "#### 4: same"), "### Examples#3", "at least two grades"),
    ("an example without grade", ("#### 1: a step down", "#### a step down"), "#### a step", "must read '#### grade"),
    ("an example of grade 9", ("#### 1: a step down", "#### 9: a step"), "#### 9", "'9' is not a grade"),
    (
        "an example without reason",
        ("- Because: Both are bakers.\n", ""),
        "#### 4: the same",
        "has no '- Because: text'",
    ),
    ("an empty reason", ("- Because: Both are bakers.", "- Because: "), "- Because:", "an example's lines read"),
    ("a line of another kind", ("- Because: Both", "- Reason: Both"), "- Reason: Both", "an example's lines read"),
    (
        "a reason twice",
        ("- Candidate: junior baker, pastry", "- Because: x"),
        "- Because: Both",
        "a second '- Because:'",
    ),
    ("no overall rule", ("## Overall", "## Total"), "- Because: The job is below", "section '## Overall' is missing"),
    ("a cap on nothing", ("| role | 1 | 2 |", "| roles | 0 | 2 |"), "| roles", "'roles' is not a dimension"),
    ("a cap at no grade", ("| role | 1 | 2 |", "| role | 1 | 7 |"), "| role | 1 | 7", "'7' is not a grade"),
]


@pytest.mark.parametrize(("change", "at", "sentence"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_the_error_names_the_line_of_the_mistake(change: tuple[str, str], at: str, sentence: str) -> None:
    assert change[0] in TEXT
    broken = TEXT.replace(*change, 1)
    with pytest.raises(DocumentError, match=re.escape(sentence)) as caught:
        parse_policy(broken, "demo.md")
    assert str(caught.value).startswith(f"demo.md:{line_of(broken, at)}: ")


def test_a_document_without_dimensions_fails_at_its_last_line() -> None:
    text = TEXT[: TEXT.index("## Dimension: role")].replace("| role | 1 | 2 |\n", "")
    with pytest.raises(DocumentError, match=rf"demo\.md:{len(text.splitlines())}: .*'## Dimension: name'"):
        parse_policy(text, "demo.md")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.md").write_bytes(b"---\n\xff\xfe")
    with pytest.raises(DocumentError, match=r"bad\.md:1: not a readable UTF-8 text"):
        read_policy(tmp_path / "bad.md")


def test_a_byte_order_mark_changes_nothing(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "demo.md").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert read_policy(tmp_path / "demo.md") == policy
    assert parse_policy("\ufeff" + TEXT, "demo.md") == policy


@pytest.mark.parametrize(
    ("written", "wanted"),
    [("The same | trade.", None), ("`a|b`", None), ("The same \\| trade.", "The same | trade."), ("end \\|", "end |")],
)
def test_a_bar_that_would_cut_a_meaning_is_refused(written: str, wanted: str | None) -> None:
    meaning = "Another trade that shares one of the wanted skills."
    text = TEXT.replace(meaning, written)
    if wanted is None:
        with pytest.raises(DocumentError, match=r"the row has 4 cells and the table 3 columns: write \\\|") as caught:
            parse_policy(text, "x")
        assert caught.value.line == line_of(text, written)
    else:
        assert parse_policy(text, "x").dimensions[0].grades[3].meaning == wanted


def test_a_row_without_its_outer_bars_is_read(policy: Policy) -> None:
    row = next(line for line in TEXT.splitlines() if policy.dimensions[0].grades[3].meaning in line)
    assert parse_policy(TEXT.replace(row, row.strip("| ")), "x").dimensions == policy.dimensions
