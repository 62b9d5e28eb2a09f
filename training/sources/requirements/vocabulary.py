"""Real vocabularies for the set `requirements`: titles, tools in commodities, skills and relations of occupations.

From O*NET 27 and ESCO v1.1.1; knows nothing of members, jobs or grades.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from training.sources.requirements.vocabulary_rules import (
    GENERIC,
    LEFT_OUT,
    LEVEL_TASKS,
    LEVEL_WORDS,
    LICENCES,
    NO_RELATIVES,
    gerund,
)


@dataclass(frozen=True)
class Item:
    """Something that a job may need: `forms` are its names, `family` holds near relatives ('' if none)."""

    name: str
    forms: tuple[str, ...]
    family: str
    kind: str  # tool | task | knowledge | licence

    @property
    def kept(self) -> bool:
        """Whether the item, with its whole family, is kept for tests: a seventh of them."""
        return hashlib.sha256(f"requirements {self.family or self.name}".encode()).digest()[0] < 256 // 7

    @property
    def stems(self) -> frozenset[str]:
        """What two names of related things share."""
        return frozenset(word[:5].lower() for form in self.forms for word in form.split() if len(word) > 3)


@dataclass(frozen=True)
class Occupation:
    """One O*NET occupation as its members and jobs are described."""

    code: str
    name: str
    titles: tuple[str, ...]
    items: tuple[Item, ...]
    near: tuple[str, ...]
    zone: int
    known: frozenset[str]
    licence: Item | None
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Vocabulary:
    """All occupations that can be used, and the items of each family."""

    occupations: dict[str, Occupation]
    families: dict[str, tuple[Item, ...]]


def _short(label: str, words: int, letters: int) -> bool:
    return 0 < len(label.split()) <= words and len(label) <= letters and "(" not in label


def _titles(data: Path) -> dict[str, tuple[str, ...]]:
    reported = pl.read_parquet(data / "onet/sample_of_reported_titles.parquet").select(
        "onet_soc_code", "reported_job_title"
    )
    titles: dict[str, dict[str, None]] = defaultdict(dict)
    for code, title in reported.iter_rows():
        plain = re.sub(r"\s*\([^)]*\)", "", title).strip()
        if _short(plain, 4, 34) and not LEVEL_WORDS.search(plain) and "/" not in plain:
            titles[code][plain] = None
    return {code: tuple(found) for code, found in titles.items()}


def _tools(data: Path) -> dict[str, dict[str, Item]]:
    frames = [
        pl.read_parquet(data / f"onet/{name}.parquet").select("onet_soc_code", "example", "commodity_title")
        for name in ("tools_used", "technology_skills")
    ]
    rows = list(pl.concat(frames).iter_rows())
    spread = Counter(commodity for _, commodity in {(code, commodity) for code, _, commodity in rows})
    tools: dict[str, dict[str, Item]] = defaultdict(dict)
    for code, example, commodity in rows:
        plain = re.sub(r"\b([A-Za-z]+) software$", r"\1 software", example).strip()
        if _short(plain, 4, 30) and not GENERIC.search(commodity) and spread[commodity] <= 120:
            family = "" if NO_RELATIVES.search(commodity) else commodity
            name = (
                plain
                if any(c.isupper() for c in plain[1:]) or "software" in commodity.lower()
                else plain[0].lower() + plain[1:]
            )
            tools[code].setdefault(name, Item(name, (name,), family, "tool"))
    return tools


def _skills(data: Path) -> dict[str, dict[str, Item]]:
    walk = pl.read_parquet(data / "esco_onet_crosswalk/crosswalk.parquet").filter(
        pl.col("match").is_in(["exactMatch", "closeMatch"])
    )
    relations = pl.read_parquet(data / "esco_v111/occupationSkillRelations.parquet").filter(
        pl.col("relationType") == "essential"
    )
    skills = pl.read_parquet(data / "esco_v111/skills_en.parquet").select(
        "conceptUri", "preferredLabel", "altLabels", pl.col("skillType").alias("type")
    )
    rows = walk.join(relations, left_on="esco_uri", right_on="occupationUri").join(
        skills, left_on="skillUri", right_on="conceptUri"
    )
    spread = Counter(uri for uri in rows["skillUri"])
    found: dict[str, dict[str, Item]] = defaultdict(dict)
    for code, uri, label, other, kind in rows.select(
        "onet_soc_code", "skillUri", "preferredLabel", "altLabels", "type"
    ).iter_rows():
        if not _short(label, 5, 40) or spread[uri] > 40 or GENERIC.search(label):
            continue
        what = "knowledge" if kind == "knowledge" else "task"
        if what == "task" and not gerund(label):
            continue
        forms = [
            label,
            *[f for f in other.split("\n") if _short(f, 5, 40) and f != label and (what == "knowledge" or gerund(f))][
                :3
            ],
        ]
        found[code].setdefault(label, Item(label, tuple(forms), "", what))
    return found


def _tasks(data: Path) -> dict[str, tuple[str, ...]]:
    """Short tasks that say nothing about level: 'inspect seams for defects'."""
    found: dict[str, list[str]] = defaultdict(list)
    for code, task in (
        pl.read_parquet(data / "onet/task_statements.parquet").select("onet_soc_code", "task").iter_rows()
    ):
        plain = task[:1].lower() + task[1:].rstrip(".")
        if _short(plain, 12, 90) and not LEVEL_TASKS.search(plain) and gerund(plain) and ";" not in plain:
            found[code].append(plain)
    return {code: tuple(tasks) for code, tasks in found.items()}


def _licence(code: str) -> Item | None:
    """The licence without which the work may not be done, where there is one."""
    for start, forms in LICENCES.items():
        if code.startswith(start):
            return Item(forms[0], forms, "", "licence")
    return None


def read_vocabulary(data: Path) -> Vocabulary:
    """Every occupation with at least three titles and eight items; managers and supervisors are left out."""
    names = dict(pl.read_parquet(data / "onet/occupation_data.parquet").select("onet_soc_code", "title").iter_rows())
    titles, tools, skills, tasks = _titles(data), _tools(data), _skills(data), _tasks(data)
    related = pl.read_parquet(data / "onet/related_occupations.parquet")
    near: dict[str, list[str]] = defaultdict(list)
    known: dict[str, set[str]] = defaultdict(set)
    for one, other, tier in related.select("onet_soc_code", "related_onet_soc_code", "relatedness_tier").iter_rows():
        known[one].add(other)
        known[other].add(one)
        if tier == "Primary-Short" and one[:4] == other[:4] and one[:6] != other[:6]:
            near[one].append(other)
    near = {one: [other for other in others if one in near.get(other, ())] for one, others in near.items()}
    zones = {
        code: int(zone)
        for code, zone in pl.read_parquet(data / "onet/job_zones.parquet")
        .select("onet_soc_code", "job_zone")
        .iter_rows()
    }
    occupations = {}
    for code in sorted(titles):
        items = {**tools.get(code, {}), **skills.get(code, {})}
        if (
            len(titles[code]) >= 3
            and len(items) >= 8
            and not LEFT_OUT.search(code)
            and "All Other" not in names.get(code, "All Other")
        ):
            occupations[code] = Occupation(
                code,
                names[code],
                titles[code],
                tuple(items.values()),
                tuple(near.get(code, ())),
                zones.get(code, 3),
                frozenset(known[code]),
                _licence(code),
                tasks.get(code, ()),
            )
    families: dict[str, dict[str, Item]] = defaultdict(dict)
    for occupation in occupations.values():
        for item in occupation.items:
            if item.family:
                families[item.family][item.name] = item
    return Vocabulary(
        occupations, {family: tuple(found.values()) for family, found in families.items() if len(found) >= 2}
    )
