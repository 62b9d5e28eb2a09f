"""Stamps of single sections: an edit voids the grades that it can change, and no others."""

from __future__ import annotations

import pytest

from training.policy.documents import POLICIES
from training.policy.parser import parse_policy, read_policy
from training.policy.policy import OVERALL, Policy, PolicyMismatch
from training.policy.stamps import WHOLE_TEXTS, check_stamps, section_stamps, void_sections

TEXT = (POLICIES / "demo.md").read_text(encoding="utf-8")
POLICY = parse_policy(TEXT, "demo.md")
EVERY = frozenset(section_stamps(POLICY))


def changed_by(*edits: tuple[str, str]) -> frozenset[str]:
    """The sections whose stamp differs after the edits."""
    text = TEXT
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    after = section_stamps(parse_policy(text, "demo.md"))
    return frozenset(name for name, stamp in section_stamps(POLICY).items() if after[name] != stamp)


@pytest.mark.parametrize(
    ("edits", "changed"),
    [
        ([("| role | 1 | 2 |", "| role | 1 | 1 |")], {OVERALL}),
        ([("| role | 1 | 2 |", "| skills | 0 | 2 |")], {OVERALL}),
        ([("Weight: 40", "Weight: 30"), ("Weight: 20", "Weight: 30")], {OVERALL}),
        ([("Every wanted skill.", "All skills.")], {"skills"}),
        ([("Is the level the same?", "Is the rank the same?")], {"seniority"}),
        ([("#### 4: the same", "#### 4: as before")], {"role"}),
        ([("- Use only what the two texts say.", "- Use what the texts say.")], EVERY - {OVERALL}),
        ([("version: 1.1.0", "version: 1.2.0")], set()),
        ([("Short, because", "Brief, because")], set()),
        ([("Is the level the same?", "Is the level the same?  ")], set()),
    ],
    ids=["cap", "cap on another", "weights", "meaning", "question", "example", "rules", "version", "prose", "spaces"],
)
def test_an_edit_changes_the_stamps_of_what_it_touches(edits: list[tuple[str, str]], changed: set[str]) -> None:
    assert changed_by(*edits) == changed


def test_the_order_of_caps_does_not_count() -> None:
    two = TEXT.replace("| role | 1 | 2 |", "| role | 1 | 2 |\n| skills | 0 | 2 |")
    turned = TEXT.replace("| role | 1 | 2 |", "| skills | 0 | 2 |\n| role | 1 | 2 |")
    assert section_stamps(parse_policy(two, "x")) == section_stamps(parse_policy(turned, "x"))


@pytest.mark.parametrize("name", ["jobs", "products"])
def test_the_shipped_grades_are_valid_under_the_documents_of_today(name: str) -> None:
    policy = read_policy(POLICIES / f"{name}.md")
    (stamp,) = (each for each in WHOLE_TEXTS if each.startswith(policy.name))
    assert set(WHOLE_TEXTS[stamp]) == {*policy.dimension_names, OVERALL}
    assert void_sections(stamp, policy) <= {OVERALL}
    check_stamps([(each, stamp) for each in policy.dimension_names], policy, "grades")


def with_section(policy: Policy, old: str, new: str) -> Policy:
    text = (POLICIES / f"{policy.name.removesuffix('-policy')}.md").read_text(encoding="utf-8")
    return parse_policy(text.replace(old, new), "x")


def test_grades_of_an_earlier_whole_text_are_void_where_its_section_has_changed() -> None:
    (stamp,) = (each for each in WHOLE_TEXTS if each.startswith("jobs"))
    jobs = read_policy(POLICIES / "jobs.md")
    changed = with_section(jobs, "what is done all day", "what is done on most days")
    assert void_sections(stamp, changed) - {OVERALL} == {"role"}
    check_stamps([("skills", stamp)], changed, "grades")
    with pytest.raises(PolicyMismatch, match=f"grades: row 1, column 'policy': the grade of 'role' .*{stamp}"):
        check_stamps([("skills", stamp), ("role", stamp)], changed, "grades")


@pytest.mark.parametrize("stamp", ["jobs-policy@1.0.0#000000000000", "(none)", "", "demo-policy:skills#0"])
def test_an_unknown_stamp_is_refused(stamp: str) -> None:
    with pytest.raises(PolicyMismatch, match="t: row 0, column 'policy': the grade of 'role'"):
        check_stamps([("role", stamp)], POLICY, "t")
