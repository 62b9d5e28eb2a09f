"""Judged pairs: lists with a grade per dimension, split by occupation, and errors that name file, row and column."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from models.template import Fields
from training.data.source_files import SourceFiles
from training.data.tables import DataError
from training.policy.parser import parse_policy, read_policy
from training.policy.policy import Policy, PolicyMismatch
from training.policy.stamps import section_stamps
from training.sources.judged import (
    DATASETS,
    Answers,
    JudgedList,
    graded_field_list,
    job_lists,
    judged_jobs,
    judged_products,
    occupation_splits,
    second_opinions,
)

POLICIES = Path(__file__).parents[3] / "training/policy/documents"
CATALOGUE = Path(__file__).parents[4] / "shared/data/esci/products.parquet"


@pytest.fixture(scope="module")
def policy() -> Policy:
    return read_policy(POLICIES / "jobs.md")


@pytest.fixture(scope="module")
def lists(policy: Policy) -> list[JudgedList]:
    return judged_jobs(policy)


def write_set(folder: Path, **changes: pl.DataFrame) -> Path:
    """Two members, two postings, four graded rows; `changes` replace whole tables."""
    tables = {
        "members": pl.DataFrame(
            {
                "member_id": ["m1", "m2"],
                "onet_soc_code": ["11-1011.00", "51-4121.00"],
                "headline": ["Director", "Welder"],
                "skills": [["budgets"], []],
                "experience": ["", "TIG"],
                "preferences": ["", ""],
            }
        ),
        "postings": pl.DataFrame(
            {
                "candidate_id": ["j1", "j2"],
                "onet_soc_code": ["51-4121.00", None],
                "title": ["Welder", "Clerk"],
                "skills": [["TIG"], []],
                "description": ["Pipes.", "Files."],
                "terms": ["", ""],
            }
        ),
        "grades": answers(),
        **changes,
    }
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet")
    return folder


def answers(**columns: list[object]) -> pl.DataFrame:
    plain: dict[str, list[object]] = {
        "member_id": ["m1", "m1", "m2", "m2"],
        "candidate_id": ["j1", "j1", "j1", "j2"],
        "dimension": ["role", "constraints", "role", "role"],
        "grade": [0, None, 4, 1],
        "reason": ["other work", "", "same", "records"],
    }
    return pl.DataFrame({**plain, **columns}, strict=False)


class TestJobs:
    def test_null_stays_null_and_reasons_come_along(self, policy: Policy, tmp_path: Path) -> None:
        found = {one.list_id: one for one in judged_jobs(policy, write_set(tmp_path))}
        (pair,) = found["m1"].pairs
        assert pair.grades == {"role": 0, "constraints": None}
        assert pair.reasons["role"] == "other work"

    def test_empty_fields_are_left_out_and_lists_stay_lists(self, policy: Policy, tmp_path: Path) -> None:
        found = {one.list_id: one for one in judged_jobs(policy, write_set(tmp_path))}
        assert found["m1"].member == {"headline": "Director", "skills": ["budgets"]}
        assert found["m1"].pairs[0].fields == {"title": "Welder", "skills": ["TIG"], "description": "Pipes."}

    def test_no_posting_of_a_held_out_occupation_is_in_a_training_list(
        self, policy: Policy, lists: list[JudgedList]
    ) -> None:
        table = pl.read_parquet(DATASETS / "judged_jobs/postings.parquet").select("candidate_id", "onet_soc_code")
        occupation = dict(table.iter_rows())
        held_out = {one.group for one in lists if one.split != "train"}
        assert len(held_out) == 54
        training = [pair for one in lists if one.split == "train" for pair in one.pairs]
        assert len(training) == 12_043
        assert not held_out & {occupation[pair.candidate_id] for pair in training}

    def test_held_out_lists_are_whole_and_say_which_candidates_training_has_seen(self, lists: list[JudgedList]) -> None:
        count = {split: sum(one.split == split for one in lists) for split in ("train", "valid", "test")}
        assert count == {"train": 486, "valid": 54, "test": 108}
        test = [pair for one in lists if one.split == "test" for pair in one.pairs]
        assert len(test) == 3_120
        assert 0.4 < sum(pair.seen for pair in test) / len(test) < 0.5
        assert all(pair.seen for one in lists if one.split == "train" for pair in one.pairs)

    def test_every_pair_has_an_answer_to_every_question(self, policy: Policy, lists: list[JudgedList]) -> None:
        names = set(policy.dimension_names)
        assert all(set(pair.grades) == names for one in lists for pair in one.pairs)

    def test_the_split_of_an_occupation_does_not_depend_on_their_order(self) -> None:
        codes = [f"{n:02}-1011.00" for n in range(60)]
        splits = occupation_splits(codes)
        assert occupation_splits(reversed(codes)) == splits
        assert sorted(splits.values()).count("test") == 36
        assert sorted(splits.values()).count("valid") == 18

    def test_a_field_list_has_a_gain_per_dimension_and_the_rule_makes_the_overall_one(self, policy: Policy) -> None:
        graded: list[tuple[Fields, Answers]] = [
            ({"title": "Welder"}, {"role": 0, "skills": 4, "constraints": None}),
            ({"title": "Clerk"}, {"role": 3}),
        ]
        one = graded_field_list(policy, "m1", "judged", "train", {"headline": "Director"}, graded)
        assert one.candidates == [{"title": "Welder"}, {"title": "Clerk"}]
        assert one.labels["role"] == [0.0, 0.75]
        assert one.labels["constraints"] == [None, None]
        assert one.labels["overall"] == [0.0, 0.75]

    def test_a_changed_section_leaves_out_its_own_grades_and_a_changed_rule_none(
        self, policy: Policy, tmp_path: Path
    ) -> None:
        text = (POLICIES / "jobs.md").read_text(encoding="utf-8")
        folder = write_set(tmp_path)
        for edit, left in (
            (("Weight: 30", "Weight: 35"), {"role", "constraints"}),
            (("what is done all day", "what is done on most days"), {"constraints"}),
        ):
            changed = parse_policy(
                text.replace(*edit).replace("Weight: 25", "Weight: 20" if "W" in edit[0] else "Weight: 25"), "jobs.md"
            )
            found = {one.list_id: one for one in judged_jobs(changed, folder)}
            assert set(found["m1"].pairs[0].grades) == left

    def test_a_table_may_carry_the_stamp_of_each_grade(self, policy: Policy, tmp_path: Path) -> None:
        stamp = section_stamps(policy)["role"]
        own: list[object] = [stamp, section_stamps(policy)["constraints"], "jobs-policy:role#of-an-earlier-text", stamp]
        found = {one.list_id: one for one in judged_jobs(policy, write_set(tmp_path, grades=answers(policy=own)))}
        assert [pair.grades for pair in found["m2"].pairs] == [{}, {"role": 1}]
        foreign = write_set(tmp_path, grades=answers(policy=[*own[:3], "products-policy:kind#123"]))
        with pytest.raises(PolicyMismatch, match=r"grades\.parquet: row 3, column 'policy': the grade of 'role' was"):
            judged_jobs(policy, foreign)

    def test_a_changed_section_leaves_no_overall_grade_and_a_changed_rule_makes_new_ones(self, tmp_path: Path) -> None:
        text = (POLICIES / "jobs.md").read_text(encoding="utf-8")
        document = tmp_path / "jobs.md"
        for edit, is_known in (("| role | 0 | 0 |", True), ("what is done all day", False)):
            document.write_text(text.replace(edit, edit.replace("0 | 0", "0 | 1").replace("all day", "daily")))
            one = next(iter(job_lists(document, DATASETS / "judged_jobs", SourceFiles(tmp_path))))
            assert all((gain is not None) == is_known for gain in one.labels["relevance"])
            assert all((gain is not None) == is_known for gain in one.labels["role"])
            assert all(gain is not None for gain in one.labels["skills"])
            assert set(one.labels["role_answerable"]) == ({1.0} if is_known else {None})

    def test_no_overall_grade_follows_while_a_dimension_is_void(self, policy: Policy) -> None:
        one = graded_field_list(policy, "m1", "judged", "train", {}, [({}, {"role": 3})], void={"skills"})
        assert (one.labels["role"], one.labels["overall"]) == ([0.75], [None])
        rule_alone = graded_field_list(policy, "m1", "judged", "train", {}, [({}, {"role": 3})], void={"overall"})
        assert rule_alone.labels["overall"] == [0.75]

    def test_the_second_opinion_is_about_pairs_of_the_set(self, policy: Policy) -> None:
        found = second_opinions(policy)
        assert len(found) == 826
        assert {g for given in found.values() for g in given.values()} <= {0, 1, 2, 3, 4, None}


class TestBadInput:
    @pytest.mark.parametrize(
        ("columns", "sentence"),
        [
            ({"grade": [0, None, 5, 1]}, "row 2, column 'grade': must be a whole number from 0 to 4, or null"),
            ({"grade": [0, None, 3.5, 1]}, "row 2, column 'grade': must be a whole number from 0 to 4, or null"),
            ({"grade": [-1, None, 3, 1]}, "row 0, column 'grade': must be a whole number from 0 to 4, or null"),
            ({"dimension": ["role", "pay", "role", "role"]}, "row 1, column 'dimension': must be one of role, skills"),
            ({"member_id": ["m1", "m1", "m9", "m2"]}, "row 2, column 'member_id': no such id as 'm9'"),
            ({"candidate_id": ["j1", "j1", "j1", "j9"]}, "row 3, column 'candidate_id': no such id as 'j9'"),
            ({"candidate_id": ["j1", "j1", "", "j2"]}, "row 2, column 'candidate_id': empty"),
            ({"dimension": ["role"] * 4}, "row 1, column 'dimension': 'role' is graded twice for this pair"),
        ],
    )
    def test_a_row_that_cannot_be_used_is_named(
        self, policy: Policy, tmp_path: Path, columns: dict[str, list[object]], sentence: str
    ) -> None:
        folder = write_set(tmp_path, grades=answers(**columns))
        with pytest.raises(DataError) as error:
            judged_jobs(policy, folder)
        assert f"grades.parquet: {sentence}" in str(error.value)

    def test_a_member_who_occurs_twice_is_named(self, policy: Policy, tmp_path: Path) -> None:
        members = pl.read_parquet(write_set(tmp_path) / "members.parquet")
        folder = write_set(tmp_path, members=pl.concat([members, members[:1]]))
        with pytest.raises(DataError, match=r"members\.parquet: row 2, column 'member_id': 'm1' occurs twice"):
            judged_jobs(policy, folder)

    def test_a_missing_column_is_named(self, policy: Policy, tmp_path: Path) -> None:
        folder = write_set(tmp_path, grades=answers().drop("grade"))
        with pytest.raises(DataError, match="column 'grade' is missing"):
            judged_jobs(policy, folder)

    def test_grades_of_another_policy_are_refused(self, lists: list[JudgedList]) -> None:
        products = read_policy(POLICIES / "products.md")
        with pytest.raises(DataError, match=r"column 'dimension': must be one of kind, attributes"):
            judged_jobs(products)


@pytest.mark.skipif(not CATALOGUE.is_file(), reason=f"the catalogue is not in {CATALOGUE}")
def test_queries_meet_their_products() -> None:
    found = judged_products(CATALOGUE, read_policy(POLICIES / "products.md"))
    assert len(found) == 420
    assert sum(len(one.pairs) for one in found) == 5_460
    assert {one.split for one in found} == {"train", "valid", "test"}
    assert all(pair.fields["title"] for one in found for pair in one.pairs)
