"""O*NET worker side x ESCO job side: official crosswalk grades, plus the titles and skills of both taxonomies.

Three kinds of lists come from here, all split by O*NET major group (the first two digits of an occupation's code):

- `crosswalk`: an O*NET worker against ESCO occupations; gains exact 1, close 2/3, narrow or broad 1/3,
  unlisted 0 (presumed);
- `titles`:    a worker's titles against job titles; gains by how near O*NET says the two occupations are;
- `skills`:    a set of ESCO skills against ESCO occupations; the occupation they came from has gain 1.

An ESCO occupation that a held-out group maps to appears in no training list, not even as a negative.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from models.text import Fields
from training.data import FieldList, Split

GAINS = {"exactMatch": 1.0, "closeMatch": 2 / 3, "narrowMatch": 1 / 3, "broadMatch": 1 / 3}
RELATED_GAINS = {"Primary-Short": 0.6, "Primary-Long": 0.5, "Supplemental": 0.35}
SAME_MINOR_GROUP_GAIN = 0.3
SAME_MAJOR_GROUP_GAIN = 0.1


@dataclass(frozen=True)
class Worker:
    """An O*NET occupation, seen as the people who hold it."""

    code: str
    titles: tuple[str, ...]
    description: str
    tasks: tuple[str, ...]
    tools: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """An ESCO occupation, seen as a job to fill."""

    uri: str
    isco: str
    title: str
    other_titles: tuple[str, ...]
    description: str
    skills: tuple[str, ...]


@dataclass(frozen=True)
class Taxonomies:
    """Both sides and what joins them; `grades[code][uri]` is a gain, `related[code][code]` too."""

    workers: dict[str, Worker]
    jobs: dict[str, Job]
    grades: dict[str, dict[str, float]]
    related: dict[str, dict[str, float]]


@dataclass(frozen=True)
class MajorGroups:
    """Which O*NET major groups are held out; all others train."""

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


def read_taxonomies(data: Path) -> Taxonomies:
    """Read O*NET 27.0, ESCO v1.1.1 and their crosswalk from the folders `onet`, `esco_v111`, `esco_onet_crosswalk`."""
    crosswalk = pl.read_parquet(data / "esco_onet_crosswalk/crosswalk.parquet")
    grades: dict[str, dict[str, float]] = defaultdict(dict)
    for code, uri, match in crosswalk.select("onet_soc_code", "esco_uri", "match").iter_rows():
        if match in GAINS:
            grades[code][uri] = max(GAINS[match], grades[code].get(uri, 0.0))
    related: dict[str, dict[str, float]] = defaultdict(dict)
    table = pl.read_parquet(data / "onet/related_occupations.parquet")
    for code, other, tier in table.select("onet_soc_code", "related_onet_soc_code", "relatedness_tier").iter_rows():
        related[code][other] = RELATED_GAINS[tier]
    return Taxonomies(_read_workers(data / "onet"), _read_jobs(data / "esco_v111"), dict(grades), dict(related))


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
    """ESCO occupations that some held-out O*NET occupation maps to; training must not see them."""
    held = (code for code in taxonomies.grades if groups.split(code) != "train")
    return {uri for code in held for uri in taxonomies.grades[code]}


def worker_fields(worker: Worker, random_: random.Random, *, whole: bool = False) -> Fields:
    """A member as a résumé would show them: `whole` gives the fixed evaluation form, else a random part of it."""
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
    """A candidate as a posting would show it: title, and often a description or skills."""
    if whole:
        return {"title": job.title, "description": job.description}
    title = random_.choice((job.title, *job.other_titles)) if random_.random() < 0.5 else job.title
    fields: dict[str, str | list[str] | int | float] = {"title": title}
    if random_.random() < 0.55 and job.description:
        fields["description"] = job.description
    if random_.random() < 0.25 and job.skills:
        fields["skills"] = random_.sample(job.skills, min(len(job.skills), random_.randint(3, 8)))
    return fields


def crosswalk_lists(
    taxonomies: Taxonomies, groups: MajorGroups, *, copies: int, candidates: int, seed: int
) -> Iterator[FieldList]:
    """Training lists: some graded jobs, the rest drawn half from the same ISCO groups and half from anywhere.

    Every third list shows both sides whole, as the held-out lists do; the others show random parts of them.
    """
    random_ = random.Random(seed)
    usable = sorted(set(taxonomies.jobs) - held_out_jobs(taxonomies, groups))
    by_isco = defaultdict(list)
    for uri in usable:
        by_isco[taxonomies.jobs[uri].isco[:2]].append(uri)
    for code in sorted(taxonomies.grades):
        worker = taxonomies.workers.get(code)
        graded = {u: g for u, g in taxonomies.grades[code].items() if u in taxonomies.jobs}
        if worker is None or not graded or groups.split(code) != "train":
            continue
        kept = [uri for uri in sorted(graded) if uri in by_isco[taxonomies.jobs[uri].isco[:2]]]
        for copy in range(copies if kept else 0):
            positives = random_.sample(kept, min(len(kept), random_.randint(1, 3)))
            near = sorted({u for p in positives for u in by_isco[taxonomies.jobs[p].isco[:2]]} - set(graded))
            negatives = random_.sample(near, min(len(near), candidates // 2))
            far = [u for u in random_.sample(usable, candidates) if u not in graded and u not in negatives]
            uris = (positives + negatives + far)[:candidates]
            whole = copy % 3 == 0
            member = worker_fields(worker, random_, whole=whole)
            fields = [job_fields(taxonomies.jobs[uri], random_, whole=whole) for uri in uris]
            gains = [graded.get(uri, 0.0) for uri in uris]
            yield FieldList(f"crosswalk/{code}/{copy}", "crosswalk", "train", member, fields, {"relevance": gains})


def held_out_crosswalk_lists(
    taxonomies: Taxonomies, groups: MajorGroups, *, candidates: int, seed: int
) -> Iterator[FieldList]:
    """Validation and test lists: every graded job, half the rest from the same ISCO sub-major groups, half
    from anywhere.

    The choice of the others knows no scorer, so it favours none of the systems that are compared.
    """
    random_ = random.Random(seed)
    everything = sorted(taxonomies.jobs)
    for code in sorted(taxonomies.grades):
        worker, split = taxonomies.workers.get(code), groups.split(code)
        graded = {u: g for u, g in sorted(taxonomies.grades[code].items()) if u in taxonomies.jobs}
        if worker is None or not graded or split == "train":
            continue
        near_groups = {taxonomies.jobs[uri].isco[:2] for uri in graded}
        near = [u for u in everything if taxonomies.jobs[u].isco[:2] in near_groups and u not in graded]
        others = random_.sample(near, min(len(near), max(0, candidates - len(graded)) * 2 // 3))
        far = [u for u in random_.sample(everything, candidates * 2) if u not in graded and u not in others]
        uris = [*graded, *others, *far][: max(candidates, len(graded) + 10)]
        random_.shuffle(uris)
        fields = [job_fields(taxonomies.jobs[uri], random_, whole=True) for uri in uris]
        gains = {"relevance": [graded.get(uri, 0.0) for uri in uris]}
        member = worker_fields(worker, random_, whole=True)
        yield FieldList(f"crosswalk/{code}", "crosswalk", split, member, fields, gains)


def title_gain(taxonomies: Taxonomies, code: str, other: str) -> float:
    """How near two O*NET occupations are:
    the same 1, related 0.35 to 0.6, same minor group 0.3, same major group 0.1.
    """
    if code == other:
        return 1.0
    by_group = (
        SAME_MINOR_GROUP_GAIN if code[:4] == other[:4] else SAME_MAJOR_GROUP_GAIN if code[:2] == other[:2] else 0.0
    )
    return max(by_group, taxonomies.related.get(code, {}).get(other, 0.0))


def title_lists(
    taxonomies: Taxonomies, groups: MajorGroups, *, count: int, candidates: int, seed: int
) -> Iterator[FieldList]:
    """Training lists of job titles (sometimes with O*NET's description) for a worker's titles and tasks."""
    random_ = random.Random(seed)
    workers = [w for code, w in sorted(taxonomies.workers.items()) if groups.split(code) == "train" and w.tasks]
    by_code = {worker.code: worker for worker in workers}
    for index in range(count):
        worker = random_.choice(workers)
        near = [code for code in taxonomies.related.get(worker.code, {}) if code in by_code]
        chosen = [worker.code, *random_.sample(near, min(len(near), 2))]
        same_group = [w.code for w in workers if w.code[:2] == worker.code[:2] and w.code not in chosen]
        chosen += random_.sample(same_group, min(len(same_group), 2))
        chosen += [w.code for w in random_.sample(workers, candidates) if w.code not in chosen]
        chosen = chosen[:candidates]
        fields = [_title_fields(by_code[code], random_) for code in chosen]
        gains = {"relevance": [title_gain(taxonomies, worker.code, code) for code in chosen]}
        yield FieldList(f"titles/{index}", "titles", "train", worker_fields(worker, random_), fields, gains)


def _title_fields(worker: Worker, random_: random.Random) -> Fields:
    fields: dict[str, str | list[str] | int | float] = {"title": random_.choice(worker.titles)}
    if random_.random() < 0.2:
        fields["description"] = worker.description
    return fields


def skill_lists(
    taxonomies: Taxonomies, groups: MajorGroups, *, count: int, candidates: int, seed: int
) -> Iterator[FieldList]:
    """Training lists for members of whom only skills are known; jobs that share half of them have gain 0.3."""
    random_ = random.Random(seed)
    held = held_out_jobs(taxonomies, groups)
    jobs = [job for uri, job in sorted(taxonomies.jobs.items()) if uri not in held and len(job.skills) >= 6]
    by_isco = defaultdict(list)
    for job in jobs:
        by_isco[job.isco[:2]].append(job)
    for index in range(count):
        job = random_.choice(jobs)
        skills = random_.sample(job.skills, min(len(job.skills), random_.randint(4, 10)))
        near = [other for other in by_isco[job.isco[:2]] if other is not job]
        others = random_.sample(near, min(len(near), candidates // 2))
        others += [o for o in random_.sample(jobs, candidates) if o is not job and o not in others]
        chosen = [job, *others][:candidates]
        gains = {"relevance": [1.0, *(_shared_skills_gain(skills, other) for other in chosen[1:])]}
        fields = [job_fields(each, random_) for each in chosen]
        yield FieldList(f"skills/{index}", "skills", "train", {"skills": skills}, fields, gains)


def _shared_skills_gain(skills: Sequence[str], job: Job) -> float:
    return 0.3 if len(set(skills) & set(job.skills)) * 2 >= len(skills) else 0.0
