"""A product's tables -> what the steps read: human grades, graded lists, the log's lists.

Splits follow the member's id, in every table alike, unless the pairs state them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from models.tables.columns import contents, has_side, ids, need
from models.tables.table import Table, read
from models.template import Content, Fields
from training.data.impressions import POSITION, SHOWN
from training.data.lists import SPLITS, FieldList, Split, split_of
from training.data.source_files import SourceFiles
from training.judging.golden_set import NO_GRADES, GradedPair, HumanGrade, HumanGrades
from training.policy.parser import read_policy
from training.policy.policy import GRADES, OVERALL, RELEVANCE, Policy
from training.product.reading.log import Known, ShownCandidate, read_log
from training.product.reading.pairs import GradedRow, read_graded
from training.product.settings import Files, Log, ProductSettings

PAIRS, LOGGED, UNLABELLED = "pairs", "log", "catalogue"
"""Sources of lists, as reports name them."""


@dataclass(frozen=True)
class DataSettings:
    """The settings that decide lists and grades, and no others: the rest may change without reading the files again."""

    files: Files
    columns: dict[str, str]
    authority: tuple[str, ...]
    dimensions: tuple[str, ...]
    log: Log
    by_time: bool
    valid: float
    test: float
    candidates_per_list: int
    unlabelled_lists: int
    seed: int
    features: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: ProductSettings) -> DataSettings:
        split, training = settings.split, settings.training
        return cls(
            settings.files,
            settings.columns,
            settings.grades.authority,
            settings.grades.dimensions,
            settings.log,
            split.by == "time",
            split.valid,
            split.test,
            training.candidates_per_list,
            training.unlabelled_lists,
            training.seed,
            tuple(each.name for each in settings.features),
        )

    @property
    def rates(self) -> bool:
        """Whether actions alone say what fits: there are no graded pairs."""
        return not self.files.pairs


def open_table(settings: DataSettings, data: SourceFiles, name: str) -> Table | None:
    """A table under our column names; None where the product has no such file. Raises DataError."""
    return read(data.path(name)).renamed(settings.columns) if name else None


def graded_rows(settings: DataSettings, data: SourceFiles) -> list[GradedRow]:
    """The rows of the pairs, each rater's grade of a pair once. Raises DataError for two different ones."""
    table = open_table(settings, data, settings.files.pairs)
    if table is None:
        return []
    first: dict[tuple[str, str, str], GradedRow] = {}
    for each in read_graded(table):
        if each.rater not in settings.authority:
            known = ", ".join(settings.authority)
            raise table.error(each.row, "rater", f"{each.rater!r} is none of {known}: add it to grades.authority")
        known_row = first.setdefault((each.member_id, each.candidate_id, each.rater), each)
        for name, grade in each.grades.items():
            if known_row.grades.setdefault(name, grade) != grade:
                column = "grade" if name == OVERALL else f"grade.{name}"
                sentence = f"{grade}, but row {known_row.row} grades the same pair {known_row.grades[name]}: keep one"
                raise table.error(each.row, column, sentence)
        if each.split != known_row.split:
            raise table.error(
                each.row, "split", f"row {known_row.row} has the same pair in {known_row.split}: keep one"
            )
    return list(first.values())


def human_grades(settings: DataSettings, data: SourceFiles) -> HumanGrades:
    """What the pairs say, for the golden set; nothing where there are none. Raises DataError."""
    if settings.rates:
        return NO_GRADES
    rows = graded_rows(settings, data)
    pairs = {
        (each.member_id, each.candidate_id): GradedPair(
            each.member_id, each.candidate_id, _fields(each.member), _fields(each.candidate)
        )
        for each in rows
    }
    grades = [
        HumanGrade(each.member_id, each.candidate_id, dimension, each.rater, grade)
        for each in rows
        for dimension, grade in each.grades.items()
    ]
    about = f"Grades 0 to 4 of {Path(settings.files.pairs).name}."
    return HumanGrades(Path(settings.files.pairs).name, list(pairs.values()), grades, settings.authority, about)


def lists(settings: DataSettings, data: SourceFiles) -> Iterator[FieldList]:
    """Graded lists of all splits, then training lists without grades over the catalogue. Raises DataError.

    Without pairs, the lists of the log: what a member did says which candidates fit.
    """
    if settings.rates:
        yield from log_lists(settings, data)
        return
    rows = graded_rows(settings, data)
    policy = read_policy(data.path(settings.files.policy))
    gains = _gains(rows, settings, policy)
    # The teacher learns every dimension that is graded, also one without a head of its own.
    heads = dict.fromkeys([RELEVANCE, *(name for each in rows for name in each.grades if name != OVERALL)])
    pairs = {(each.member_id, each.candidate_id): each for each in rows}
    by_member: dict[str, list[GradedRow]] = {}
    for each in pairs.values():
        by_member.setdefault(each.member_id, []).append(each)
    for member_id, of_member in by_member.items():
        for split, some in _parts(of_member, settings):
            for number, part in enumerate(some):
                keys = [(each.member_id, each.candidate_id) for each in part]
                labels = {head: [gains[key].get(head) for key in keys] for head in heads}
                yield FieldList(
                    f"{member_id}/{split}/{number}",
                    PAIRS,
                    split,
                    _fields(part[0].member),
                    [_fields(each.candidate) for each in part],
                    labels,
                    _features(settings, part),
                )
    yield from _unlabelled(settings, data, list(pairs.values()))


def log_lists(settings: DataSettings, data: SourceFiles) -> Iterator[FieldList]:
    """The log's lists, labelled with the share of times shown that led to each action, `position` and `shown`.

    A candidate that was never shown says nothing, and is left out. Raises DataError.
    """
    rows = [each for each in shown_candidates(settings, data) if each.shown]
    splits = list_splits(settings, graded_rows(settings, data), rows)
    for list_id, shown in _by_list(rows).items():
        labels: dict[str, list[float | None]] = {
            action: [each.actions[action] / each.shown for each in shown] for action in settings.log.actions
        }
        labels[POSITION] = [float(each.position) for each in shown]
        labels[SHOWN] = [float(each.shown) for each in shown]
        candidates = [_fields(each.candidate) for each in shown]
        features = _features(settings, shown)
        yield FieldList(list_id, LOGGED, splits[list_id], _fields(shown[0].member), candidates, labels, features)


def list_splits(
    settings: DataSettings, graded: Sequence[GradedRow], shown: Sequence[ShownCandidate]
) -> dict[str, Split]:
    """Of each list of the log: its member's split among the pairs, or what the log states, or by time or member."""
    stated = {each.member_id: each.split for each in graded}
    first = {list_id: rows[0] for list_id, rows in _by_list(shown).items()}
    times = {list_id: max(each.time for each in rows) for list_id, rows in _by_list(shown).items()}
    order = sorted(times.values()) or [""]
    starts = [order[int(share * len(order))] for share in (1 - settings.valid - settings.test, 1 - settings.test)]
    found: dict[str, Split] = {}
    for list_id, row in first.items():
        given = stated.get(row.member_id) or row.split
        if given or not settings.by_time:
            found[list_id] = given or split_of_member(settings, row.member_id)
        else:
            found[list_id] = SPLITS[sum(times[list_id] >= start for start in starts)]
    return found


def shown_candidates(settings: DataSettings, data: SourceFiles) -> list[ShownCandidate]:
    """The rows of the log. Raises DataError."""
    table = open_table(settings, data, settings.files.log)
    if table is None:
        return []
    rows = graded_rows(settings, data)
    candidates = {**catalogue(settings, data), **{each.candidate_id: each.candidate for each in rows}}
    return read_log(table, settings.log.actions, Known({each.member_id: each.member for each in rows}, candidates))


def catalogue(settings: DataSettings, data: SourceFiles) -> dict[str, Content]:
    """Candidates by id. Raises DataError, also for an id with two texts."""
    table = open_table(settings, data, settings.files.candidates)
    if table is None:
        return {}
    need(table, has_side(table, "candidate"), "there is no column 'candidate' and no candidate.FIELD", "candidate")
    found: dict[str, Content] = {}
    sides = list(contents(table, "candidate"))
    for row, (candidate_id, content) in enumerate(zip(ids(table, "candidate_id", sides), sides, strict=True)):
        if found.setdefault(candidate_id, content) != content:
            raise table.error(row, "candidate_id", f"{candidate_id!r} has another text in an earlier row: keep one")
    return found


def _gains(
    rows: Sequence[GradedRow], settings: DataSettings, policy: Policy
) -> dict[tuple[str, str], dict[str, float | None]]:
    """Gains of each pair by head: of the rater who comes first in authority."""
    rank = {rater: place for place, rater in enumerate(settings.authority)}
    decided: dict[tuple[str, str], dict[str, int]] = {}
    for each in sorted(rows, key=lambda row: rank[row.rater]):
        known = decided.setdefault((each.member_id, each.candidate_id), {})
        for name, grade in each.grades.items():
            known.setdefault(name, grade)
    found: dict[tuple[str, str], dict[str, float | None]] = {}
    for key, grades in decided.items():
        overall = grades.get(OVERALL, policy.overall(grades))
        by_head = {RELEVANCE: overall, **{name: grade for name, grade in grades.items() if name != OVERALL}}
        found[key] = {head: None if grade is None else grade / max(GRADES) for head, grade in by_head.items()}
    return found


def _parts(rows: Sequence[GradedRow], settings: DataSettings) -> Iterator[tuple[Split, list[list[GradedRow]]]]:
    """A member's rows by split; training lists are cut, in random order, to a length that a step can hold."""
    by_split: dict[Split, list[GradedRow]] = {}
    for each in rows:
        by_split.setdefault(each.split or split_of_member(settings, each.member_id), []).append(each)
    for split, of_split in by_split.items():
        if split != "train":
            yield split, [of_split]
            continue
        mixed = random.Random(f"{settings.seed} {rows[0].member_id}").sample(of_split, len(of_split))
        yield split, list(_cut(mixed, settings.candidates_per_list))


def _cut(rows: list[GradedRow], most: int) -> Iterator[list[GradedRow]]:
    """Parts of nearly equal length: none has one row unless all have."""
    count = -(-len(rows) // most)
    yield from (rows[number::count] for number in range(count))


def _unlabelled(settings: DataSettings, data: SourceFiles, rows: Sequence[GradedRow]) -> Iterator[FieldList]:
    """Training members with candidates of the catalogue that have no grade for them: the teacher labels these."""
    candidates = list(catalogue(settings, data).items())
    seen: dict[str, set[str]] = {}
    members: dict[str, Content] = {}
    for each in rows:
        seen.setdefault(each.member_id, set()).add(each.candidate_id)
        if (each.split or split_of_member(settings, each.member_id)) == "train":
            members[each.member_id] = each.member
    drawing = random.Random(settings.seed)
    for number in range(settings.unlabelled_lists if candidates and members else 0):
        member_id = drawing.choice(list(members))
        drawn = drawing.sample(candidates, min(settings.candidates_per_list, len(candidates)))
        some = [_fields(content) for candidate_id, content in drawn if candidate_id not in seen[member_id]]
        if some:
            yield FieldList(f"catalogue/{number}", UNLABELLED, "train", _fields(members[member_id]), some, {})


def _features(
    settings: DataSettings, rows: Sequence[GradedRow] | Sequence[ShownCandidate]
) -> dict[str, list[float | None]]:
    """Numbers of each row by declared feature."""
    return {name: [each.features.get(name) for each in rows] for name in settings.features}


def _by_list(rows: Sequence[ShownCandidate]) -> Mapping[str, list[ShownCandidate]]:
    found: dict[str, list[ShownCandidate]] = {}
    for each in rows:
        found.setdefault(each.list_id, []).append(each)
    return found


def split_of_member(settings: DataSettings, member_id: str) -> Split:
    """The split of a member whose pairs state none."""
    return split_of(member_id, 1 - settings.valid - settings.test, settings.valid)


def _fields(content: Content) -> Fields:
    """A text that is already rendered is content too: what reads a list hands it to a template, which takes both."""
    return cast(Fields, content)


def adapters(
    settings: DataSettings,
) -> tuple[partial[HumanGrades], partial[Iterator[FieldList]], partial[Iterator[FieldList]]]:
    """Human grades, lists and log of a product, as functions of the source files."""
    return partial(human_grades, settings), partial(lists, settings), partial(log_lists, settings)
