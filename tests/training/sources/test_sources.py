"""Sources: held-out data never reaches training, in a small made-up world and in the real data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from training.data.lists import SPLITS, FieldList, split_of
from training.data.source_files import SourceFiles
from training.recipes import decisions, jobs
from training.sources import career_moves, esci, usajobs
from training.sources.onet_esco import (
    crosswalk_lists,
    held_out_crosswalk_lists,
    name_lists,
    skill_lists,
    title_gain,
    title_lists,
)
from training.sources.taxonomies import Job, MajorGroups, Taxonomies, Worker, held_out_jobs, read_taxonomies
from training.sources.usajobs import Posting, posting_lists, postings_of, title_cluster

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"there is no real data in {DATA}")
GROUPS = MajorGroups(valid=frozenset({"12"}), test=frozenset({"13"}))


def world() -> Taxonomies:
    """Four major groups of four occupations; each maps to the ESCO job of its number, and to the next group's."""
    codes = [f"{group}-{minor}011.0{number}" for group in (11, 12, 13, 14) for minor in (1, 2) for number in (0, 1)]
    workers = {code: Worker(code, (f"worker {code}",), f"does {code}", (f"task {code}",), ()) for code in codes}
    names = [f"job {place}" for place in range(40)]
    skills = [tuple(f"skill {place + step}" for step in range(6)) for place in range(40)]
    jobs_ = {
        f"uri:{i}": Job(f"uri:{i}", f"{i % 4}1", name, (f"{name}, named", "x"), "", skills[i])
        for i, name in enumerate(names)
    }
    grades = {code: {f"uri:{i}": 1.0, f"uri:{(i + 4) % 16}": 1 / 3} for i, code in enumerate(codes)}
    return Taxonomies(workers, jobs_, grades, {codes[0]: {codes[12]: 0.6}})


def titles(lists: Iterator[FieldList]) -> set[object]:
    return {candidate["title"] for each in lists for candidate in each.candidates}


def test_jobs_of_held_out_groups_are_in_no_training_list() -> None:
    taxonomies = world()
    held = {taxonomies.jobs[uri].title for uri in held_out_jobs(taxonomies, GROUPS)}
    assert len(held) == 12
    assert not held & titles(crosswalk_lists(taxonomies, GROUPS, copies=3, candidates=8, seed=0))
    assert not held & titles(skill_lists(taxonomies, GROUPS, count=50, candidates=8, seed=0))
    assert not held & titles(name_lists(taxonomies, GROUPS, count=50, candidates=8, seed=0))
    tested = held_out_crosswalk_lists(taxonomies, GROUPS, candidates=10, seed=0)
    assert held <= titles(tested)


def test_held_out_workers_are_in_no_training_list_of_titles() -> None:
    lists = list(title_lists(world(), GROUPS, count=60, candidates=6, seed=0))
    groups = {str(field["title"]).split()[1][:2] for each in lists for field in (*each.candidates,)}
    assert groups == {"11", "14"}
    assert {each.member["headline"].split()[1][:2] for each in lists} == {"11", "14"}  # type: ignore[union-attr]  # a title


def test_the_gain_of_a_title_is_the_relatedness_of_the_occupations() -> None:
    taxonomies, own = world(), "11-1011.00"
    others = (own, "14-1011.00", "11-1011.01", "11-2011.00", "14-2011.00")
    assert [title_gain(taxonomies, own, other) for other in others] == [1.0, 0.6, 0.3, 0.1, 0.0]


def test_other_names_of_a_job_have_gain_one_and_its_unit_group_a_little() -> None:
    lists = list(name_lists(world(), GROUPS, count=20, candidates=8, seed=0))
    for each in lists:
        own = f"{each.candidates[0]['title']}, named"
        assert own == each.member["headline"] or own in each.member["experience"]  # type: ignore[operator]  # a list
        assert each.labels["relevance"][0] == 1
    assert {gain for each in lists for gain in each.labels["relevance"]} == {0, 0.3, 1}


def test_titles_that_differ_in_level_alone_are_one_cluster_and_one_split() -> None:
    assert title_cluster("Lead Nurses (ICU)") == title_cluster("nurse") == "nurse"
    splits = [split_of(str(number)) for number in range(1000)]
    assert [splits.count(split) for split in SPLITS] == pytest.approx([800, 80, 120], abs=40)


def postings() -> list[Posting]:
    names = [f"{a}{b}" for a, b in itertools.product("abcdefghij", repeat=2)]
    return [
        Posting(
            n, n, "agency", title_cluster(n), ((f"claim {n}", "shared"),), ("copied", *(f"{n}{i}" for i in range(5)))
        )
        for n in names
    ]


def test_a_posting_is_only_in_its_own_split() -> None:
    by_name = {posting.title: split_of(posting.cluster) for posting in postings()}
    trained = titles(usajobs.title_lists(postings(), count=40, candidates=5, seed=0))
    assert {by_name[str(title)] for title in trained} == {"train"}
    tested = posting_lists(postings(), "test", count=40, candidates=5, titled_share=1.0, seed=0)
    assert {by_name[str(title)] for title in titles(tested)} == {"test"}


def test_no_sentence_of_a_held_out_posting_is_trained_on() -> None:
    kept = postings_of(postings(), "train")
    assert kept
    assert not {"shared", "copied"} & {text for each in kept for text in (*each.claims[0], *each.tasks)}
    lone = [replace(each, claims=(("shared",),)) for each in postings()]
    assert postings_of(lone, "train") == []
    assert postings_of(lone, "test")


@needs_data
def test_the_real_crosswalk_holds_out_its_groups_whole() -> None:
    taxonomies = read_taxonomies(SourceFiles(DATA))
    held = {taxonomies.jobs[uri].title for uri in held_out_jobs(taxonomies, decisions.GROUPS) if uri in taxonomies.jobs}
    seen = titles(crosswalk_lists(taxonomies, decisions.GROUPS, copies=1, candidates=12, seed=0))
    assert len(held) > 500
    # Another occupation may bear the same name; none does in ESCO v1.1.1.
    assert not held & seen


@needs_data
def test_career_moves_are_for_testing_only() -> None:
    lists = list(career_moves.move_lists(SourceFiles(DATA), count=20, negatives=30, seed=0))
    assert {each.split for each in lists} == {"test"}
    assert all(sum(each.labels["relevance"]) == 1 for each in lists)  # type: ignore[arg-type]  # all of them are judged


@needs_data
def test_product_texts_are_not_judged() -> None:
    lists = list(esci.unjudged_lists(SourceFiles(DATA), count=10, candidates=4, seed=0))
    assert all(each.labels == {} and len(each.candidates) == 4 for each in lists)


@needs_data
def test_no_text_of_a_member_or_of_a_posting_is_both_trained_on_and_held_out() -> None:
    """Unlike postings, ESCO jobs of training lists may be negatives in held-out lists."""
    texts: dict[str, set[str]] = {split: set() for split in SPLITS}
    for each in jobs.lists(SourceFiles(DATA)):
        texts[each.split] |= {str(each.member)}
        texts[each.split] |= {str(candidate) for candidate in each.candidates if each.source == "usajobs"}
    assert all(texts.values())
    assert not texts["train"] & (texts["valid"] | texts["test"])
