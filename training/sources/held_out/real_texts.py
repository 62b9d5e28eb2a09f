"""Real texts of jobs as held-out sets: questionnaires, the official crosswalk, career moves, and bare titles.

Their gains are known links, not grades: what is not linked counts as 0, which is presumed. So they have no dimensions.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import polars as pl

from models.template import Fields
from training.data.held_out import ALL, HeldOutList, HeldOutSet
from training.data.lists import FieldList, Split
from training.data.source_files import SourceFiles
from training.data.tables import read_table
from training.policy.policy import OVERALL
from training.sources import career_moves, onet_esco, usajobs
from training.sources.judged import DATASETS
from training.sources.taxonomies import MajorGroups, read_taxonomies
from training.sources.usajobs import Posting

MEASURES = ("ndcg@10", "auc")
UNJUDGED = "titles outside the judged set"
TASKS, WISHES = "title to tasks", "past title to wished title"
USAJOBS_LISTS = 150
INTERESTS = "evaluation_only/job_views_2014"


def real_sets(data: SourceFiles, groups: MajorGroups, split: Split) -> Iterator[HeldOutSet]:
    """The sets whose sources are there; those of people's behaviour have a test split only."""
    if data.has("usajobs_questionnaires"):
        yield usajobs_set(data, split)
    if all(data.has(name) for name in ("onet", "esco_v111", "esco_onet_crosswalk")):
        yield crosswalk_set(data, groups, split)
    if split == "test" and data.has("evaluation_only/career_moves"):
        yield moves_set(data)
    if split == "test" and data.has("usajobs_questionnaires") and data.has(INTERESTS):
        yield titles_set(data)


def usajobs_set(data: SourceFiles, split: Split) -> HeldOutSet:
    """Claims of an applicant against tasks. Clusters are those of titles; a part leaves out judged titles."""
    postings, judged = usajobs.read_postings(data), judged_clusters()
    inside = usajobs.postings_of(postings, split)[:USAJOBS_LISTS]
    drawn = usajobs.posting_lists(postings, split, count=USAJOBS_LISTS, candidates=20, titled_share=0.0, seed=7)
    lists = [
        HeldOutList(_overall(each), posting.cluster, {UNJUDGED: [posting.cluster not in judged] * len(each.candidates)})
        for each, posting in zip(drawn, inside, strict=True)
    ]
    about = "What applicants of US federal jobs must be able to claim, against the tasks of their job and of others."
    return HeldOutSet("usajobs", "made by rule", about, tuple(lists), MEASURES, (ALL, UNJUDGED), only_what_ships=True)


def crosswalk_set(data: SourceFiles, groups: MajorGroups, split: Split) -> HeldOutSet:
    """O*NET workers of held-out groups against ESCO jobs, by the official crosswalk."""
    taxonomies = read_taxonomies(data)
    drawn = onet_esco.held_out_crosswalk_lists(taxonomies, groups, candidates=50, seed=5)
    lists = [HeldOutList(_overall(each), each.list_id) for each in drawn if each.split == split]
    about = "Workers as O*NET describes them against jobs of ESCO; people linked the two."
    return HeldOutSet("crosswalk", "labelled by people", about, tuple(lists), MEASURES, only_what_ships=True)


def moves_set(data: SourceFiles) -> HeldOutSet:
    """A history against the title of the job that a person took next."""
    drawn = career_moves.move_lists(data, count=300, negatives=30, seed=8)
    lists = [HeldOutList(_overall(each), each.list_id) for each in drawn]
    about = "A person's past jobs against the title of the job they took next. For measuring only; texts are not shown."
    return HeldOutSet("career moves", "behaviour", about, tuple(lists), MEASURES, only_what_ships=True)


def titles_set(data: SourceFiles) -> HeldOutSet:
    """Bare titles, as short as members write them.

    A federal job's title against tasks, for titles that were neither trained on nor judged; and the title of a
    person's last position against positions that they named as wishes.
    """
    lists = [*_title_lists(data, seed=31), *_wish_lists(data, count=250, negatives=20, seed=32)]
    about = "Bare titles: a title against tasks, and a past title against titles that the person wished for."
    return HeldOutSet("titles", "behaviour", about, tuple(lists), MEASURES, (ALL, TASKS, WISHES), only_what_ships=True)


def judged_clusters() -> frozenset[str]:
    """Clusters of titles of the real postings among the judged pairs."""
    postings = read_table(DATASETS / "judged_jobs" / "postings.parquet").filter(pl.col("source") == "usajobs")
    return frozenset(usajobs.title_cluster(title) for title in postings["title"])


def _title_lists(data: SourceFiles, seed: int) -> Iterator[HeldOutList]:
    random_, judged = random.Random(seed), judged_clusters()
    inside = [p for p in usajobs.postings_of(usajobs.read_postings(data), "test") if p.cluster not in judged]
    tasks = {p.vacancy_id: random_.sample(p.tasks, min(len(p.tasks), random_.randint(2, 4))) for p in inside}
    for index, posting in enumerate(inside):
        others = [p for p in random_.sample(inside, len(inside)) if p.cluster != posting.cluster]
        chosen = [posting, *_of_distinct_clusters(others)[:19]]
        candidates: list[Fields] = [{"description": tasks[p.vacancy_id]} for p in chosen]
        one = _list(f"titles/tasks/{index}", {"headline": posting.title.title()}, candidates, own=1)
        yield _part(one, posting.cluster, TASKS)


def _of_distinct_clusters(postings: Sequence[Posting]) -> list[Posting]:
    return list({posting.cluster: posting for posting in reversed(postings)}.values())[::-1]


def _wish_lists(data: SourceFiles, *, count: int, negatives: int, seed: int) -> Iterator[HeldOutList]:
    random_, folder = random.Random(seed), data.path(INTERESTS)
    wishes: dict[int, list[str]] = {}
    for person, title in pl.read_parquet(folder / "positions_of_interest.parquet")[:, :2].iter_rows():
        wishes.setdefault(person, []).append(_clean(title))
    experience = pl.read_parquet(folder / "experience.parquet").sort("start_date", descending=True, nulls_last=True)
    past: dict[int, list[str]] = {}
    for person, title in experience.select("applicant_id", "position_name").iter_rows():
        past.setdefault(person, []).append(_clean(title))
    titles = sorted({title.lower() for each in wishes.values() for title in each if title})
    people = [p for p in sorted(wishes) if any(past.get(p, ())) and any(wishes[p])]
    for person in random_.sample(people, min(count, len(people))):
        before = [title for title in past[person] if title]
        own = sorted({w.lower() for w in wishes[person] if w} - {b.lower() for b in before})[:5]
        known = {*own, *(title.lower() for title in before)}
        drawn = [title for title in random_.sample(titles, negatives * 2) if title not in known][:negatives]
        if not own:
            continue
        member: Fields = {"headline": before[0], "experience": before[1:4]} if before[1:] else {"headline": before[0]}
        candidates: list[Fields] = [{"title": title} for title in (*own, *drawn)]
        yield _part(_list(f"titles/wishes/{person}", member, candidates, own=len(own)), str(person), WISHES)


def _clean(title: str | None) -> str:
    return " ".join((title or "").split())


def _list(list_id: str, member: Fields, candidates: list[Fields], *, own: int) -> FieldList:
    gains = [1.0] * own + [0.0] * (len(candidates) - own)
    return FieldList(list_id, "titles", "test", member, candidates, {OVERALL: gains})


def _part(one: FieldList, cluster: str, part: str) -> HeldOutList:
    parts = {name: [name == part] * len(one.candidates) for name in (TASKS, WISHES)}
    return HeldOutList(one, f"{part} {cluster}", parts)


def _overall(each: FieldList) -> FieldList:
    """The list with its relevance as the overall gain."""
    return replace(each, labels={OVERALL: each.labels["relevance"]})
