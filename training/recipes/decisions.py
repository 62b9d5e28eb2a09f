"""What decides whether a student of the shipped products ships: held-out sets, gates, and the figures asked for."""

from __future__ import annotations

from collections.abc import Iterator

from models.template import Fields
from training.data.held_out import ALL, HeldOutSet
from training.data.lists import Split
from training.data.source_files import SourceFiles
from training.evaluation.decision.lines import LEAD_SHARE
from training.evaluation.decision.report import LEAST
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.recipe import DecisionPlan, Target
from training.sources.held_out.human_labels import fold_of, human_set
from training.sources.held_out.judged import (
    FIRST,
    OWN,
    judged_jobs_set,
    judged_products_set,
    judged_twice_set,
    minimal_pairs_set,
)
from training.sources.held_out.real_texts import real_sets
from training.sources.held_out.rules import requirements_set
from training.sources.taxonomies import MajorGroups

# O*NET major groups held out whole: computing, health practitioners, sales, construction; two more to validate on.
GROUPS = MajorGroups(valid=frozenset({"19", "43"}), test=frozenset({"15", "29", "41", "47"}))
TAXONOMIES = ("onet", "esco_v111", "esco_onet_crosswalk")


def jobs_sets(data: SourceFiles, split: Split) -> Iterator[HeldOutSet]:
    """Judged pairs ship with the repository; the others are there where their sources are. Hand-written pairs test."""
    policy = read_policy(POLICIES / "jobs.md")
    yield judged_jobs_set(policy, split)
    if split == "test":
        yield judged_twice_set(policy)
        yield minimal_pairs_set(policy)
    if all(data.has(name) for name in TAXONOMIES):
        yield requirements_set(data, policy, split)
    yield from real_sets(data, GROUPS, split)


def products_sets(data: SourceFiles, split: Split) -> Iterator[HeldOutSet]:
    """Human labels test only: cross-fitted models, or models that have not seen them, are measured on all of them."""
    if not data.has("esci"):
        return
    policy = read_policy(POLICIES / "products.md")
    yield judged_products_set(data.path("esci/products.parquet"), policy, split)
    if split == "test":
        yield human_set(data)


def query_fold(member: Fields) -> int:
    return fold_of(str(member["query"]))


REAL_TEXTS = "judged real texts"
"""Real members with at least ten judged real postings each: no such set ships, so this figure is not measured here."""
TEACHER, STUDENT, PAIRS = "teacher", "student", "pairs in order"
JOBS = DecisionPlan(
    sets=jobs_sets,
    main="judged",
    above=("bm25",),
    not_worse=("usajobs", "crosswalk", "career moves", "titles"),
    calibrated_on="judged",
    targets=(
        Target("teacher, NDCG@10", TEACHER, "judged", FIRST, "ndcg@10", 0.88, 0.92),
        Target("teacher, own occupation in order", TEACHER, "judged", OWN, PAIRS, 0.77, 0.85),
        Target("teacher, kappa overall", TEACHER, "judged", ALL, "kappa: overall", 0.75, 0.85),
        Target("teacher, kappa, least dimension", TEACHER, "judged", ALL, "kappa: least dimension", 0.6, 0.8),
        Target("student, share of NDCG@10", STUDENT, "judged", FIRST, "ndcg@10, share of teacher", 0.98, 0.99),
        Target("student, share of the lead, judged", STUDENT, "judged", ALL, f"ndcg@10, {LEAD_SHARE}", 0.8, 0.9),
        Target(
            "student, share of the lead, requirements",
            STUDENT,
            "requirements",
            ALL,
            f"auc top grade, {LEAD_SHARE}",
            0.8,
            0.9,
        ),
        Target("student, minimal pairs", STUDENT, "minimal pairs", ALL, PAIRS, 0.82, 0.9),
        Target("student, minimal pairs, least dimension", STUDENT, "minimal pairs", LEAST, PAIRS, 0.7, 0.85),
        Target("student, judged real texts, NDCG@10", STUDENT, REAL_TEXTS, ALL, "ndcg@10", 0.8, 0.9),
    ),
)
ABOVE_COSINE = "ndcg@10, minus cosine"
PRODUCTS = DecisionPlan(
    sets=products_sets,
    main="human labels",
    above=("cosine",),
    not_worse=("judged",),
    calibrated_on="human labels",
    targets=(Target("student, NDCG@10 above the cosine", STUDENT, "human labels", ALL, ABOVE_COSINE, 0.04, 0.08),),
    fold=query_fold,
)
