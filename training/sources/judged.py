"""Judged pairs: what a large model answered to every question of a policy, as lists of one member and its candidates.

Reads the folders `training/datasets/judged_jobs` and `judged_products`; their SOURCE.md says how they were made.
Nothing here renders texts.

    members.parquet         member_id | onet_soc_code | headline | skills | experience | preferences
    postings.parquet        candidate_id | onet_soc_code (null: unknown) | title | skills | description | terms
    grades.parquet          member_id | candidate_id | dimension | grade 0..4 or null | reason
    second_opinion.parquet  the same for some pairs, by a second run that saw nothing of the first

A grade whose section of the policy has changed since is left out. A table may say in a column `policy` under which
stamp each grade was given; without it, the grades were given under the whole text below.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from models.template import Fields
from training.data.lists import FieldList, Split, split_of
from training.data.soft_labels import SoftColumns
from training.data.source_files import SourceFiles
from training.data.tables import DataError, check_columns, empty, read_table
from training.policy.parser import read_policy
from training.policy.policy import OVERALL, RELEVANCE, Policy
from training.policy.stamps import valid_grades
from training.sources.requirements.drawing import requirement_lists
from training.sources.requirements.jobs import worlds

DATASETS = Path(__file__).parent.parent / "datasets"
# The whole texts under which the shipped grades were given.
JOBS_STAMP, PRODUCTS_STAMP = "jobs-policy@1.0.0#e8604e983b06", "products-policy@1.0.0#a4c9fcdb22da"
MEMBER_FIELDS = ("headline", "skills", "experience", "preferences")
POSTING_FIELDS = ("title", "skills", "description", "terms")
VOCABULARIES = ("onet", "esco_v111", "esco_onet_crosswalk")
CATALOGUE = "esci/products.parquet"
JUDGED = "judged"
PRODUCT_FIELDS = ("title", "brand", "color", "bullet_points")
TEST_OCCUPATIONS, VALID_OCCUPATIONS = 36, 18

Answers = dict[str, int | None]


@dataclass(frozen=True)
class JudgedPair:
    """A candidate with a grade per dimension; None means that the texts do not say. `seen`: training reads it too."""

    candidate_id: str
    fields: Fields
    grades: Answers
    reasons: dict[str, str]
    seen: bool


@dataclass(frozen=True)
class JudgedList:
    """One member and its judged candidates; `group` is what splits are made by: an occupation, or the query itself."""

    list_id: str
    group: str
    split: Split
    member: Fields
    pairs: tuple[JudgedPair, ...]


@dataclass(frozen=True)
class _Answered:
    grades: Answers
    reasons: dict[str, str]


_Answers = dict[tuple[str, str], _Answered]


def occupation_splits(codes: Iterable[str]) -> dict[str, Split]:
    """Which split each occupation belongs to: by order of a hash the first 36 test, the next 18 validate."""
    order = sorted(set(codes), key=lambda code: hashlib.sha256(f"judged_jobs {code}".encode()).hexdigest())
    held = TEST_OCCUPATIONS + VALID_OCCUPATIONS
    return {
        code: "test" if place < TEST_OCCUPATIONS else "valid" if place < held else "train"
        for place, code in enumerate(order)
    }


def judged_jobs(policy: Policy, folder: Path = DATASETS / "judged_jobs") -> list[JudgedList]:
    """All lists. No posting of a held-out occupation stays in a training list.

    Raises DataError with file, row and column for a grade outside the policy and for an id that is not there.
    """
    members, postings = (
        _by_id(folder / "members.parquet", "member_id"),
        _by_id(folder / "postings.parquet", "candidate_id"),
    )
    path = folder / "grades.parquet"
    answers = _read_answers(path, policy, JOBS_STAMP, ("member_id", "candidate_id"), members, postings)
    splits = occupation_splits(str(row["onet_soc_code"]) for row in members.values())
    held_out = {code for code, split in splits.items() if split != "train"}
    kept: dict[str, list[str]] = {}
    for member_id, candidate_id in answers:
        if members[member_id]["onet_soc_code"] in held_out or postings[candidate_id]["onet_soc_code"] not in held_out:
            kept.setdefault(member_id, []).append(candidate_id)
    group = {member_id: str(members[member_id]["onet_soc_code"]) for member_id in kept}
    fields = {i: _fields(row, MEMBER_FIELDS) for i, row in members.items()}
    candidates = {i: _fields(row, POSTING_FIELDS) for i, row in postings.items()}
    return _lists(kept, answers, group, {m: splits[code] for m, code in group.items()}, fields, candidates)


def judged_products(products: Path, policy: Policy, folder: Path = DATASETS / "judged_products") -> list[JudgedList]:
    """All queries with their products; `products` is the catalogue's Parquet file, joined by asin. Split by query."""
    queries, catalogue = _by_id(folder / "queries.parquet", "query_id"), _by_id(products, "asin")
    path = folder / "grades.parquet"
    answers = _read_answers(path, policy, PRODUCTS_STAMP, ("query_id", "doc_id"), queries, catalogue)
    kept: dict[str, list[str]] = {}
    for query_id, asin in answers:
        kept.setdefault(query_id, []).append(asin)
    splits = {query_id: split_of(f"judged_products {query_id}") for query_id in kept}
    fields: dict[str, Fields] = {i: {"query": str(row["query"])} for i, row in queries.items()}
    candidates = {i: _fields(row, PRODUCT_FIELDS) for i, row in catalogue.items()}
    return _lists(kept, answers, {i: i for i in kept}, splits, fields, candidates)


def graded_field_list(
    policy: Policy,
    list_id: str,
    source: str,
    split: Split,
    member: Fields,
    graded: Sequence[tuple[Fields, Answers]],
    void: Collection[str] = (),
) -> FieldList:
    """A list with one gain per dimension and for the overall grade: the grade / 4, and None where there is no grade.

    The overall grade is what the policy's rule makes of the others. There is none while grades of a dimension are
    `void` (`training.policy.stamps.void_sections`), because the rule would read them as grades that do not exist.
    """
    is_whole = not set(void) & set(policy.dimension_names)
    answers = [{**grades, OVERALL: policy.overall(grades) if is_whole else None} for _, grades in graded]
    gains = {
        name: [None if (grade := given.get(name)) is None else grade / 4 for given in answers]
        for name in (*policy.dimension_names, OVERALL)
    }
    return FieldList(list_id, source, split, member, [fields for fields, _ in graded], gains)


def void_of(policy: Policy, grades: Iterable[Answers]) -> frozenset[str]:
    """Dimensions that a judged pair has no answer to at all, not even null: their section has changed since."""
    return frozenset(name for each in grades for name in policy.dimension_names if name not in each)


def teaching_list(
    policy: Policy,
    list_id: str,
    source: str,
    split: Split,
    member: Fields,
    graded: Sequence[tuple[Fields, Answers]],
    void: Collection[str] = (),
) -> FieldList:
    """What a policy teacher learns: relevance and each dimension, and whether a dimension could be answered: 1 or 0.

    Relevance is the overall grade. A dimension that was not asked has neither label.
    """
    one = graded_field_list(policy, list_id, source, split, member, graded, void)
    labels = {RELEVANCE: one.labels[OVERALL]}
    for name in policy.dimension_names:
        labels[name] = one.labels[name]
        asked = [None if name not in grades else float(grades[name] is not None) for _, grades in graded]
        labels[SoftColumns.of(name).answerable] = asked
    return replace(one, labels=labels)


def job_lists(document: Path, folder: Path, _: SourceFiles) -> Iterator[FieldList]:
    """All judged lists of jobs under the policy in `document`."""
    policy = read_policy(document)
    for one in judged_jobs(policy, folder):
        graded = [(pair.fields, pair.grades) for pair in one.pairs]
        void = void_of(policy, (grades for _, grades in graded))
        yield teaching_list(policy, f"judged/{one.list_id}", JUDGED, one.split, one.member, graded, void)


def job_second_opinions(document: Path, folder: Path, _: SourceFiles) -> Iterator[FieldList]:
    """The pairs of those lists that a second run graded too, with its grades."""
    policy = read_policy(document)
    second = second_opinions(policy, folder)
    for one in judged_jobs(policy, folder):
        graded = [(p.fields, second[key]) for p in one.pairs if (key := (one.list_id, p.candidate_id)) in second]
        if graded:
            void = void_of(policy, (grades for _, grades in graded))
            yield teaching_list(policy, f"second/{one.list_id}", JUDGED, one.split, one.member, graded, void)


def product_lists(document: Path, folder: Path, data: SourceFiles) -> Iterator[FieldList]:
    """All judged lists of products; their texts are in the catalogue among the sources."""
    policy = read_policy(document)
    for one in judged_products(data.path(CATALOGUE), policy, folder):
        graded = [(pair.fields, pair.grades) for pair in one.pairs]
        void = void_of(policy, (grades for _, grades in graded))
        yield teaching_list(policy, f"judged/{one.list_id}", JUDGED, one.split, one.member, graded, void)


def constructed_job_lists(
    document: Path, folder: Path, count: int, seed: int, data: SourceFiles
) -> Iterator[FieldList]:
    """Training lists of `requirements`, without the occupations that judged lists hold out; none without its sources.

    Their role is left out: titles alone tell it.
    """
    if not all([data.has(name) for name in VOCABULARIES]):
        return
    policy = read_policy(document)
    splits = occupation_splits(one.group for one in judged_jobs(policy, folder))
    world = worlds(data.path(VOCABULARIES[0]).parent, policy, splits)["train"]
    for number, one in enumerate(requirement_lists(world, count, seed)):
        graded = [(p.fields, {name: g for name, g in p.grades.items() if name != "role"}) for p in one.pairs]
        found = teaching_list(policy, f"requirements/{number}", "requirements", "train", one.member, graded)
        overall = [pair.overall / 4 for pair in one.pairs]  # the role counts in it
        yield replace(found, labels={**found.labels, RELEVANCE: overall})


def second_opinions(policy: Policy, folder: Path = DATASETS / "judged_jobs") -> dict[tuple[str, str], Answers]:
    """(member_id, candidate_id) -> the grades of the second run. They are no part of any list."""
    members, postings = (
        _by_id(folder / "members.parquet", "member_id"),
        _by_id(folder / "postings.parquet", "candidate_id"),
    )
    path = folder / "second_opinion.parquet"
    found = _read_answers(path, policy, JOBS_STAMP, ("member_id", "candidate_id"), members, postings)
    return {pair: answered.grades for pair, answered in found.items()}


def _by_id(path: Path, key: str) -> dict[str, dict[str, object]]:
    table = read_table(path)
    check_columns(table, {key: empty(key)}, str(path))
    twice = table.with_row_index("row").filter(~pl.col(key).is_first_distinct())
    if twice.height:
        raise DataError(f"{path}: row {twice['row'][0]}, column {key!r}: {twice[key][0]!r} occurs twice")
    return {row[key]: row for row in table.iter_rows(named=True)}


def _read_answers(
    path: Path,
    policy: Policy,
    stamp: str,
    keys: tuple[str, str],
    members: Collection[str],
    candidates: Collection[str],
) -> _Answers:
    table = read_table(path)
    scale = [grade.value for grade in policy.dimensions[0].grades]
    problems = {name: empty(name) for name in keys}
    problems["dimension"] = (
        ~pl.col("dimension").is_in(policy.dimension_names),
        f"must be one of {', '.join(policy.dimension_names)} ({policy.label})",
    )
    problems["grade"] = (
        ~pl.col("grade").cast(pl.Float64).is_in([float(value) for value in scale]),
        f"must be a whole number from {min(scale)} to {max(scale)}, or null",
    )
    check_columns(table, problems, str(path))
    found: _Answers = {}
    stamps = table["policy"] if "policy" in table.columns else [stamp] * table.height
    is_valid = valid_grades(zip(table["dimension"], stamps, strict=True), policy, str(path))
    columns = (*keys, "dimension", "grade", "reason")
    for row, (member, candidate, dimension, grade, reason) in enumerate(table.select(columns).iter_rows()):
        for column, value, known in zip(keys, (member, candidate), (members, candidates), strict=True):
            if value not in known:
                raise DataError(f"{path}: row {row}, column {column!r}: no such id as {value!r}")
        answered = found.setdefault((member, candidate), _Answered({}, {}))
        if not is_valid[row]:
            continue
        if dimension in answered.grades:
            raise DataError(f"{path}: row {row}, column 'dimension': {dimension!r} is graded twice for this pair")
        answered.grades[dimension] = None if grade is None else int(grade)
        answered.reasons[dimension] = reason or ""
    return found


def _fields(row: Mapping[str, object], names: tuple[str, ...]) -> Fields:
    """The fields that are not empty; a list stays a list."""
    kept = {name: row[name] for name in names if row.get(name)}
    return {name: list(map(str, v)) if isinstance(v, list) else str(v) for name, v in kept.items()}


def _lists(
    kept: Mapping[str, list[str]],
    answers: _Answers,
    group: Mapping[str, str],
    splits: Mapping[str, Split],
    members: Mapping[str, Fields],
    candidates: Mapping[str, Fields],
) -> list[JudgedList]:
    seen = {candidate for member, found in kept.items() if splits[member] == "train" for candidate in found}
    lists = []
    for member, found in kept.items():
        pairs = [
            JudgedPair(c, candidates[c], answers[member, c].grades, answers[member, c].reasons, c in seen)
            for c in found
        ]
        lists.append(JudgedList(member, group[member], splits[member], members[member], tuple(pairs)))
    return lists
