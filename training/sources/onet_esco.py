"""O*NET worker side x ESCO job side: official crosswalk grades, plus the titles, names and skills of both taxonomies.

It yields four kinds of lists:

- `crosswalk`: an O*NET worker against ESCO occupations; gains exact 1, close 2/3, narrow or broad 1/3,
  unlisted 0 (presumed);
- `titles`:    a worker's titles against job titles; gains by O*NET's relatedness of the two occupations;
- `names`:     a job's other names and some skills against ESCO occupations; the job has gain 1, its unit group 0.3;
- `skills`:    a set of ESCO skills against ESCO occupations; the occupation that they belong to has gain 1.

An ESCO occupation that a held-out group maps to appears in no training list, not even as a negative.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from models.template import Fields
from training.data.lists import FieldList
from training.sources.taxonomies import (
    Job,
    MajorGroups,
    Taxonomies,
    Worker,
    held_out_jobs,
    job_fields,
    worker_fields,
)

SAME_UNIT_GROUP_GAIN = 0.3
SAME_MINOR_GROUP_GAIN = 0.3
SAME_MAJOR_GROUP_GAIN = 0.1


def crosswalk_lists(
    taxonomies: Taxonomies, groups: MajorGroups, *, copies: int, candidates: int, seed: int
) -> Iterator[FieldList]:
    """Training lists: some graded jobs, the rest half from the same ISCO groups and half from anywhere.

    Every third list has both sides whole, as held-out lists do; the others have random parts of them.
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
    """Validation and test lists: every graded job, the rest from the same ISCO sub-major groups and from anywhere.

    No scorer takes part in the choice of the others, so it favours none of the compared systems.
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
    """Relatedness of two O*NET occupations: the same 1, related 0.35 to 0.6, same minor group 0.3, major group 0.1."""
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


class _JobPool:
    """Jobs outside the held-out groups, to draw lists from."""

    def __init__(self, taxonomies: Taxonomies, groups: MajorGroups, *, skills: int = 0, other_titles: int = 0) -> None:
        """Jobs with at least so many `skills` and `other_titles`."""
        held = held_out_jobs(taxonomies, groups)
        self.jobs = [
            job
            for uri, job in sorted(taxonomies.jobs.items())
            if uri not in held and len(job.skills) >= skills and len(job.other_titles) >= other_titles
        ]
        self._by_isco = defaultdict(list)
        for job in self.jobs:
            self._by_isco[job.isco[:2]].append(job)

    def others(self, job: Job, candidates: int, random_: random.Random) -> list[Job]:
        """Candidates beside `job`: up to half from its ISCO sub-major group, the rest from anywhere."""
        near = [other for other in self._by_isco[job.isco[:2]] if other is not job]
        others = random_.sample(near, min(len(near), candidates // 2))
        others += [o for o in random_.sample(self.jobs, candidates) if o is not job and o not in others]
        return others[: candidates - 1]


def skill_lists(
    taxonomies: Taxonomies, groups: MajorGroups, *, count: int, candidates: int, seed: int
) -> Iterator[FieldList]:
    """Training lists for members with skills only; jobs that share half of the skills have gain 0.3."""
    random_ = random.Random(seed)
    pool = _JobPool(taxonomies, groups, skills=6)
    for index in range(count):
        job = random_.choice(pool.jobs)
        skills = random_.sample(job.skills, min(len(job.skills), random_.randint(4, 10)))
        others = pool.others(job, candidates, random_)
        gains = {"relevance": [1.0, *(_shared_skills_gain(skills, other) for other in others)]}
        fields = [job_fields(each, random_) for each in (job, *others)]
        yield FieldList(f"skills/{index}", "skills", "train", {"skills": skills}, fields, gains)


def name_lists(
    taxonomies: Taxonomies, groups: MajorGroups, *, count: int, candidates: int, seed: int
) -> Iterator[FieldList]:
    """Training lists of ESCO's other names of a job, with some of its skills, against whole ESCO jobs.

    They cover three times as many occupations as the crosswalk; jobs of the same unit group have gain 0.3.
    """
    random_ = random.Random(seed)
    pool = _JobPool(taxonomies, groups, other_titles=2)
    for index in range(count):
        job = random_.choice(pool.jobs)
        names = random_.sample(job.other_titles, min(len(job.other_titles), random_.randint(2, 6)))
        skills = random_.sample(job.skills, min(len(job.skills), random_.randint(0, 5)))
        others = pool.others(job, candidates, random_)
        gains = {"relevance": [1.0, *(SAME_UNIT_GROUP_GAIN * (other.isco == job.isco) for other in others)]}
        fields = [job_fields(each, random_, whole=True) for each in (job, *others)]
        member: Fields = {"headline": names[0], "experience": [*names[1:], *skills]}
        yield FieldList(f"names/{index}", "names", "train", member, fields, gains)


def _shared_skills_gain(skills: Sequence[str], job: Job) -> float:
    return 0.3 if len(set(skills) & set(job.skills)) * 2 >= len(skills) else 0.0
