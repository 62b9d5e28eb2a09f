"""Judged pairs of held-out occupations, and the hand-written minimal pairs, as held-out sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from training.data.held_out import ALL, HeldOutList, HeldOutSet, Judgement
from training.data.lists import FieldList, Split
from training.data.tables import read_table
from training.policy.policy import OVERALL, Policy
from training.sources.judged import (
    DATASETS,
    JudgedList,
    graded_field_list,
    judged_jobs,
    judged_products,
    second_opinions,
    void_of,
)
from training.sources.minimal_pairs import minimal_job_pairs

RANKING = ("ndcg@10", "pairs in order", "auc top grade", "poor matches@10", "brier skill")
FIRST = "first list"
UNSEEN, OWN, REAL = "unseen postings", "own occupation", "real postings"


def judged_jobs_set(policy: Policy, split: Split, folder: Path = DATASETS / "judged_jobs") -> HeldOutSet:
    """Lists of the split's occupations.

    Parts: the first list of each member (14 or 16 candidates; a second list of 14 was judged later); postings that no
    training list has; postings of the member's own occupation; real postings (USAJOBS).
    """
    postings = {row["candidate_id"]: row for row in read_table(folder / "postings.parquet").iter_rows(named=True)}
    lists = []
    for each in judged_jobs(policy, folder):
        if each.split != split:
            continue
        rows = [postings[pair.candidate_id] for pair in each.pairs]
        pairs, second = len(each.pairs), 14
        parts = {
            FIRST: [place < pairs - second for place in range(pairs)],
            UNSEEN: [not pair.seen for pair in each.pairs],
            OWN: [row["onet_soc_code"] == each.group for row in rows],
            REAL: [row["source"] == "usajobs" for row in rows],
        }
        lists.append(HeldOutList(field_list(policy, each, "judged"), each.group, parts, judgements=judgements_of(each)))
    return HeldOutSet(
        name="judged",
        origin="judged by a large model",
        about="Members of held-out occupations with written and real postings, graded by a large model on each question"
        " of the policy; the policy's rule makes the overall grade.",
        lists=tuple(lists),
        measures=RANKING,
        parts=(ALL, FIRST, UNSEEN, OWN, REAL),
        graded_dimensions=policy.dimension_names,
    )


def judged_twice_set(policy: Policy, folder: Path = DATASETS / "judged_jobs") -> HeldOutSet:
    """The pairs of all splits that a second run of the judge graded too: how well one judge agrees with itself."""
    twice, lists = second_opinions(policy, folder), []
    for each in judged_jobs(policy, folder):
        pairs = tuple(pair for pair in each.pairs if (each.list_id, pair.candidate_id) in twice)
        if pairs:
            again = [replace(pair, grades=twice[each.list_id, pair.candidate_id]) for pair in pairs]
            first, second = (field_list(policy, replace(each, pairs=p), "twice") for p in (pairs, tuple(again)))
            lists.append(HeldOutList(first, each.group, second_opinion=second.labels))
    return HeldOutSet(
        name="judged twice",
        origin="judged by a large model",
        about="Pairs of all splits that a second run of the judge graded without seeing the first: the ceiling for"
        " agreement. One model family, so agreement with people is not shown here.",
        lists=tuple(lists),
        measures=RANKING[:4],
        graded_dimensions=policy.dimension_names,
        only_untrained=True,
    )


def judged_products_set(products: Path, policy: Policy, split: Split) -> HeldOutSet:
    """Queries of the split with their judged products."""
    lists = [
        HeldOutList(field_list(policy, each, "judged"), each.group, judgements=judgements_of(each))
        for each in judged_products(products, policy)
        if each.split == split
    ]
    return HeldOutSet(
        name="judged",
        origin="judged by a large model",
        about="Held-out queries with products of one catalogue, graded by a large model on each question of the policy"
        " and overall by its rule.",
        lists=tuple(lists),
        measures=RANKING,
        graded_dimensions=policy.dimension_names,
    )


def field_list(policy: Policy, each: JudgedList, source: str) -> FieldList:
    """A judged list with gains of all dimensions and of the overall grade."""
    graded = [(pair.fields, pair.grades) for pair in each.pairs]
    void = void_of(policy, (grades for _, grades in graded))
    return graded_field_list(policy, f"{source}/{each.list_id}", source, each.split, each.member, graded, void)


def judgements_of(each: JudgedList) -> tuple[Judgement, ...]:
    return tuple(Judgement(each.list_id, pair.candidate_id, pair.reasons) for pair in each.pairs)


def minimal_pairs_set(policy: Policy, path: Path = DATASETS / "minimal_pairs_jobs.jsonl") -> HeldOutSet:
    """Hand-written pairs of jobs that differ in one dimension; parts are the dimensions."""
    lists = []
    for number, pair in enumerate(minimal_job_pairs(policy, path)):
        labels: dict[str, Sequence[float | None]] = {OVERALL: [1.0, 0.0], pair.dimension: [1.0, 0.0]}
        one = FieldList(f"minimal/{number}", "minimal pairs", "test", pair.member, [pair.better, pair.worse], labels)
        parts = {name: [name == pair.dimension] * 2 for name in policy.dimension_names}
        lists.append(HeldOutList(one, one.list_id, parts))
    return HeldOutSet(
        name="minimal pairs",
        origin="written by hand",
        about="Two jobs for one member that differ in one question of the policy; chance is 50 %.",
        lists=tuple(lists),
        measures=("pairs in order",),
        parts=(ALL, *policy.dimension_names),
    )
