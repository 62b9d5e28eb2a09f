"""USAJOBS questionnaires: the claims an applicant must be able to make (member) against the tasks (candidate).

One office wrote both sides, so they share words, and many sites have near-duplicates of a job. Hence the split is by
cluster of titles, no sentence is on both sides of it, negatives come from the same agency if it has enough, and a job
of the member's own cluster is never a negative. The member is the employer's wording of a claim, not a person.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import polars as pl

from models.template import Fields
from training.data.lists import FieldList, Split, split_of
from training.data.source_files import SourceFiles

# Words for the level or form of a job, not its kind: titles that differ only in them are one cluster.
LEVEL_WORDS = frozenset(
    "supervisory lead senior assistant trainee student intern chief deputy associate entry staff direct hire "
    "recent graduate pathways the of and for a an i ii iii iv v or in to".split()
)


@dataclass(frozen=True)
class Posting:
    """A job with both sides: claims by grade, and its tasks."""

    vacancy_id: str
    title: str
    agency: str
    cluster: str
    claims: tuple[tuple[str, ...], ...]
    tasks: tuple[str, ...]


def title_cluster(title: str) -> str:
    """A title without its level and word order: 'Lead Nurse (ICU)' and 'Nurse' are one cluster."""
    bare = re.sub(r"\([^)]*\)", " ", title.lower())
    words = {word.rstrip("s") for word in re.findall(r"[a-z]+", bare)} - LEVEL_WORDS
    return " ".join(sorted(words)) or title.lower()


def read_postings(data: SourceFiles) -> list[Posting]:
    """Postings with claims and at least five tasks, one for each distinct (cluster, first tasks)."""
    table = pl.read_parquet(data.path("usajobs_questionnaires/jobs.parquet")).filter(
        (pl.col("n_tasks") >= 5) & (pl.col("n_criteria") > 0)
    )
    seen: set[tuple[str, str]] = set()
    postings = []
    columns = ("vacancy_id", "position_title", "agency", "qualifications_json", "tasks")
    for vacancy_id, title, agency, qualifications, tasks in table.select(columns).iter_rows():
        claims = _claims(qualifications)
        key = (title_cluster(title), " ".join(tasks[:3]))
        if claims and key not in seen:
            seen.add(key)
            postings.append(Posting(vacancy_id, title, agency, key[0], claims, tuple(tasks)))
    return postings


def _claims(qualifications: str) -> tuple[tuple[str, ...], ...]:
    """Claims by grade; none if the source's masking of web addresses broke the row's JSON (9 of 6,220 rows)."""
    try:
        return tuple(tuple(each["criteria"]) for each in json.loads(qualifications) if each["criteria"])
    except json.JSONDecodeError:
        return ()


def postings_of(postings: Sequence[Posting], split: Split) -> list[Posting]:
    """The postings of one split.

    Offices copy from each other: training postings lose every sentence that a posting outside has word for word, and
    are dropped if no claim or fewer than four tasks are left.
    """
    inside = [posting for posting in postings if split_of(posting.cluster) == split]
    if split != "train":
        return inside
    outside = [posting for posting in postings if split_of(posting.cluster) != split]
    said = {text for each in outside for texts in (*each.claims, each.tasks) for text in texts}
    kept = (_without(posting, said) for posting in inside)
    return [posting for posting in kept if posting.claims and len(posting.tasks) >= 4]


def _without(posting: Posting, said: set[str]) -> Posting:
    claims = (tuple(text for text in grade if text not in said) for grade in posting.claims)
    tasks = tuple(text for text in posting.tasks if text not in said)
    return replace(posting, claims=tuple(grade for grade in claims if grade), tasks=tasks)


def _member_fields(posting: Posting, random_: random.Random) -> Fields:
    claims = random_.choice(posting.claims)
    return {"experience": list(random_.sample(claims, min(len(claims), random_.randint(1, 2))))}


def _candidate_fields(posting: Posting, random_: random.Random, *, titled: bool) -> Fields:
    tasks = random_.sample(posting.tasks, min(len(posting.tasks), random_.randint(2, 4)))
    return {"title": posting.title, "description": tasks} if titled else {"description": tasks}


def title_lists(postings: Sequence[Posting], *, count: int, candidates: int, seed: int) -> Iterator[FieldList]:
    """Training lists of a posting's long prose (its claims, or its tasks) against titles alone."""
    random_ = random.Random(seed)
    inside = postings_of(postings, "train")
    for index, posting in enumerate(random_.choices(inside, k=count)):
        anywhere = random_.sample(inside, candidates * 2)
        others = [other for other in anywhere if other.cluster != posting.cluster]
        chosen = [posting, *others][:candidates]
        prose = random_.choice((*posting.claims, posting.tasks))
        member: Fields = {"experience": random_.sample(prose, min(len(prose), random_.randint(2, 6)))}
        gains = {"relevance": [1.0] + [0.0] * (len(chosen) - 1)}
        fields: list[Fields] = [{"title": each.title} for each in chosen]
        yield FieldList(f"usajobs_titles/{index}", "usajobs_titles", "train", member, fields, gains)


def posting_lists(
    postings: Sequence[Posting], split: Split, *, count: int, candidates: int, titled_share: float, seed: int
) -> Iterator[FieldList]:
    """Lists of one posting's tasks among others of its split, up to half of them from the same agency."""
    random_ = random.Random(seed)
    inside = postings_of(postings, split)
    by_agency = defaultdict(list)
    for posting in inside:
        by_agency[posting.agency].append(posting)
    for index, posting in enumerate(random_.choices(inside, k=count) if split == "train" else inside[:count]):
        same = [other for other in by_agency[posting.agency] if other.cluster != posting.cluster]
        others = random_.sample(same, min(len(same), candidates // 2))
        anywhere = random_.sample(inside, min(len(inside), candidates * 3))
        others += [o for o in anywhere if o.cluster != posting.cluster and o not in others]
        chosen = [posting, *others][:candidates]
        titled = random_.random() < titled_share
        fields = [_candidate_fields(each, random_, titled=titled) for each in chosen]
        gains = {"relevance": [1.0] + [0.0] * (len(chosen) - 1)}
        member = _member_fields(posting, random_)
        yield FieldList(f"usajobs/{split}/{index}", "usajobs", split, member, fields, gains)
