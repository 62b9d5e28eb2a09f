"""O*NET 27.0, ESCO v1.1.1 and their official crosswalk, as workers and jobs.

Splits are by O*NET major group, the first two digits of an occupation's code.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from models.template import Fields
from training.data.lists import Split
from training.data.source_files import SourceFiles

GAINS = {"exactMatch": 1.0, "closeMatch": 2 / 3, "narrowMatch": 1 / 3, "broadMatch": 1 / 3}
RELATED_GAINS = {"Primary-Short": 0.6, "Primary-Long": 0.5, "Supplemental": 0.35}


@dataclass(frozen=True)
class Worker:
    """An O*NET occupation, as its workers."""

    code: str
    titles: tuple[str, ...]
    description: str
    tasks: tuple[str, ...]
    tools: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """An ESCO occupation, as a job to fill."""

    uri: str
    isco: str
    title: str
    other_titles: tuple[str, ...]
    description: str
    skills: tuple[str, ...]


@dataclass(frozen=True)
class Taxonomies:
    """Both sides and their links: the gains `grades[code][uri]` and `related[code][code]`."""

    workers: dict[str, Worker]
    jobs: dict[str, Job]
    grades: dict[str, dict[str, float]]
    related: dict[str, dict[str, float]]


@dataclass(frozen=True)
class MajorGroups:
    """The held-out O*NET major groups; all others train."""

    valid: frozenset[str]
    test: frozenset[str]

    def split(self, code: str) -> Split:
        """The split that a worker's lists belong to."""
        return "test" if code[:2] in self.test else "valid" if code[:2] in self.valid else "train"


def _grouped(path: Path, key: str, value: str) -> dict[str, tuple[str, ...]]:
    table = pl.read_parquet(path).group_by(key, maintain_order=True).agg(pl.col(value))
    return {row[0]: tuple(dict.fromkeys(row[1])) for row in table.iter_rows()}


def _without_abbreviation(title: str) -> str:
    return re.sub(r"\s*\([^)]*\)", "", title).strip()


def read_taxonomies(data: SourceFiles) -> Taxonomies:
    """Read O*NET 27.0, ESCO v1.1.1 and their crosswalk from the folders `onet`, `esco_v111`, `esco_onet_crosswalk`."""
    crosswalk = pl.read_parquet(data.path("esco_onet_crosswalk/crosswalk.parquet"))
    grades: dict[str, dict[str, float]] = defaultdict(dict)
    for code, uri, match in crosswalk.select("onet_soc_code", "esco_uri", "match").iter_rows():
        if match in GAINS:
            grades[code][uri] = max(GAINS[match], grades[code].get(uri, 0.0))
    related: dict[str, dict[str, float]] = defaultdict(dict)
    table = pl.read_parquet(data.path("onet/related_occupations.parquet"))
    for code, other, tier in table.select("onet_soc_code", "related_onet_soc_code", "relatedness_tier").iter_rows():
        related[code][other] = RELATED_GAINS[tier]
    return Taxonomies(_read_workers(data.path("onet")), _read_jobs(data.path("esco_v111")), dict(grades), dict(related))


def _read_workers(onet: Path) -> dict[str, Worker]:
    reported = _grouped(onet / "sample_of_reported_titles.parquet", "onet_soc_code", "reported_job_title")
    alternate = _grouped(onet / "alternate_titles.parquet", "onet_soc_code", "alternate_title")
    tasks = _grouped(onet / "task_statements.parquet", "onet_soc_code", "task")
    tools = _grouped(onet / "technology_skills.parquet", "onet_soc_code", "example")
    workers = {}
    for code, title, description in pl.read_parquet(onet / "occupation_data.parquet").iter_rows():
        if code.startswith("55"):  # military occupations have no tasks
            continue
        names = (title, *reported.get(code, ()), *alternate.get(code, ()))
        titles = tuple(dict.fromkeys(_without_abbreviation(name) for name in names))
        workers[code] = Worker(code, titles, description, tasks.get(code, ()), tools.get(code, ()))
    return workers


def _read_jobs(esco: Path) -> dict[str, Job]:
    labels = dict(pl.read_parquet(esco / "skills_en.parquet").select("conceptUri", "preferredLabel").iter_rows())
    relations = pl.read_parquet(esco / "occupationSkillRelations.parquet").sort("relationType", maintain_order=True)
    skills: dict[str, list[str]] = defaultdict(list)
    for occupation, skill in relations.select("occupationUri", "skillUri").iter_rows():
        skills[occupation].append(labels[skill])
    table = pl.read_parquet(esco / "occupations_en.parquet")
    columns = ("conceptUri", "iscoGroup", "preferredLabel", "altLabels", "description")
    jobs = {}
    for uri, isco, title, others, description in table.select(columns).iter_rows():
        names = tuple(name for name in (others or "").split("\n") if name and name != title)
        jobs[uri] = Job(uri, isco, title, names, description or "", tuple(skills[uri]))
    return jobs


def held_out_jobs(taxonomies: Taxonomies, groups: MajorGroups) -> set[str]:
    """ESCO occupations that a held-out O*NET occupation maps to; training must not see them."""
    held = (code for code in taxonomies.grades if groups.split(code) != "train")
    return {uri for code in held for uri in taxonomies.grades[code]}


def worker_fields(worker: Worker, random_: random.Random, *, whole: bool = False) -> Fields:
    """A member as in a résumé: with `whole` the fixed evaluation form, else a random part of it."""
    if whole:
        return {"headline": worker.titles[0], "experience": [*worker.titles[1:6], *worker.tasks[:5]]}
    titles = random_.sample(worker.titles, min(len(worker.titles), random_.choice((1, 1, 2, 3))))
    fields: dict[str, str | list[str] | int | float] = {"headline": titles[0]}
    if random_.random() < 0.3 and worker.tools:
        fields["skills"] = random_.sample(worker.tools, min(len(worker.tools), random_.randint(2, 6)))
    if random_.random() < 0.6:
        tasks = random_.sample(worker.tasks, min(len(worker.tasks), random_.randint(1, 4)))
        fields["experience"] = [*titles[1:], *tasks]
    elif len(titles) > 1:
        fields["experience"] = titles[1:]
    return fields


def job_fields(job: Job, random_: random.Random, *, whole: bool = False) -> Fields:
    """A candidate as in a posting: title, and often a description or skills."""
    if whole:
        return {"title": job.title, "description": job.description}
    title = random_.choice((job.title, *job.other_titles)) if random_.random() < 0.5 else job.title
    fields: dict[str, str | list[str] | int | float] = {"title": title}
    if random_.random() < 0.55 and job.description:
        fields["description"] = job.description
    if random_.random() < 0.25 and job.skills:
        fields["skills"] = random_.sample(job.skills, min(len(job.skills), random_.randint(3, 8)))
    return fields
