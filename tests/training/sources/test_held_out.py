"""Held-out sets: what they hold, what clusters and parts mean, and that nothing of a held-out occupation trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.small_world import DATA, needs_data
from training.data.held_out import HeldOutSet
from training.data.source_files import SourceFiles
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.policy.policy import Policy
from training.recipes.decisions import GROUPS
from training.sources.held_out import human_labels, judged, real_texts
from training.sources.judged import judged_jobs


@pytest.fixture(scope="module")
def policy() -> Policy:
    return read_policy(POLICIES / "jobs.md")


@pytest.fixture(scope="module")
def test_set(policy: Policy) -> HeldOutSet:
    return judged.judged_jobs_set(policy, "test")


def test_clusters_are_the_held_out_occupations(policy: Policy, test_set: HeldOutSet) -> None:
    groups = {each.group for each in judged_jobs(policy) if each.split == "test"}
    assert {each.cluster for each in test_set.lists} == groups
    assert len(groups) == 36
    assert not groups & {each.cluster for each in judged.judged_jobs_set(policy, "valid").lists}


def test_no_posting_of_a_held_out_occupation_is_known_to_training(test_set: HeldOutSet) -> None:
    for each in test_set.lists:
        own, unseen = each.parts[judged.OWN], each.parts[judged.UNSEEN]
        assert all(new for mine, new in zip(own, unseen, strict=True) if mine)
    # Far candidates may be known to training: hence the part of unseen postings.
    assert not all(all(each.parts[judged.UNSEEN]) for each in test_set.lists)


def test_the_first_list_of_a_member_has_fourteen_or_sixteen_candidates(test_set: HeldOutSet) -> None:
    assert {sum(each.parts[judged.FIRST]) for each in test_set.lists} == {14, 16}


def test_the_second_run_of_the_judge_is_beside_the_first(policy: Policy) -> None:
    twice = judged.judged_twice_set(policy)
    assert twice.only_untrained
    assert sum(len(each.list.candidates) for each in twice.lists) > 700
    assert all(each.second_opinion.keys() == each.list.labels.keys() for each in twice.lists)


def test_a_digest_follows_gains_and_texts(policy: Policy, test_set: HeldOutSet) -> None:
    again = judged.judged_jobs_set(policy, "test")
    assert again.digest == test_set.digest
    assert again.digest != judged.judged_jobs_set(policy, "valid").digest


def test_minimal_pairs_have_a_part_for_each_dimension(policy: Policy) -> None:
    found = judged.minimal_pairs_set(policy)
    assert all(sum(each.parts[name][0] for each in found.lists) >= 30 for name in policy.dimension_names)


def test_folds_are_stable_and_equal_for_equal_queries() -> None:
    assert human_labels.fold_of("Red  Scarf") == human_labels.fold_of("red scarf")
    counts = [sum(human_labels.fold_of(f"query {n}") == fold for n in range(1000)) for fold in range(5)]
    assert min(counts) > 150


@needs_data
def test_human_labels_are_those_of_both_sources_without_queries_twice() -> None:
    found = human_labels.human_set(SourceFiles(DATA))
    queries = [" ".join(each.cluster.lower().split()) for each in found.lists]
    assert len(set(queries)) == len(queries) > 700
    trained = [each for each in found.lists if each.already_trained_on]
    assert len(trained) == 77
    assert sum(len(each.list.candidates) for each in found.lists if each.parts[human_labels.WHOLE][0]) == 4454


@needs_data
def test_titles_are_of_postings_that_were_not_judged() -> None:
    found = real_texts.titles_set(SourceFiles(DATA))
    clusters = {
        each.cluster.removeprefix(f"{real_texts.TASKS} ") for each in found.lists if each.parts[real_texts.TASKS][0]
    }
    assert len(clusters) > 80
    assert not clusters & real_texts.judged_clusters()
    assert all(
        "title" not in dict(c) for each in found.lists if each.parts[real_texts.TASKS][0] for c in each.list.candidates
    )


@needs_data
def test_real_sets_are_those_whose_sources_are_there(tmp_path: Path) -> None:
    assert list(real_texts.real_sets(SourceFiles(tmp_path), GROUPS, "test")) == []
    names = [each.name for each in real_texts.real_sets(SourceFiles(DATA), GROUPS, "valid")]
    assert names == ["usajobs", "crosswalk"]
