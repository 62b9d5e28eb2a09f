"""The table of a log: lists as members saw them, and what they did.

    list_id | member_id, or the member's columns | candidate_id, or the candidate's columns | position | time
    action             a word such as click, empty for none; two rows for two actions of one candidate
    feature.NAME       a number of the candidate when it was shown
    or ACTION          0 or 1 in a column of its own; with `shown`, a column of counts, how often of `shown` times;
                       counts of two rows of one candidate in a list are added
    split              train, valid or test, the same in a whole list
    propensity         the chance that the candidate was shown there, for estimates of what another ranking would get
    policy_id          which policy, or which version of an interleaved list, placed it

A side without columns of its own is looked up by its id among the pairs and the catalogue.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.tables.columns import Side, as_number, contents, has_side, ids, need, whole_numbers, words
from models.tables.table import Table, shown
from models.template import Content
from training.data.features import PREFIX
from training.data.lists import Split
from training.product.reading.features import read_features
from training.product.reading.pairs import splits

NO_ACTION = ("none", "no", "view", "viewed", "impression", "shown", "seen", "skip", "null")
"""Words of an action column that mean that the member did nothing."""
LOG_COLUMNS = (
    "list_id", "member_id", "candidate_id", "member", "candidate", "position", "action", "shown", "time", "split",
    "propensity", "policy_id",
)  # fmt: skip
LOG_PREFIXES = ("member.", "candidate.", PREFIX)
MANY = range(2**31)


@dataclass(frozen=True)
class ShownCandidate:
    """A candidate of a list: its place from 1, how often it was shown, and how often each action was taken.

    `propensity`: the chance that the policy `policy_id` showed it there; None where the log does not say.
    """

    row: int
    list_id: str
    member_id: str
    member: Content
    candidate_id: str
    candidate: Content
    position: int
    shown: int
    actions: dict[str, int]
    time: str
    propensity: float | None = None
    policy_id: str = ""
    features: dict[str, float] = field(default_factory=dict)
    split: Split | None = None


@dataclass(frozen=True)
class Known:
    """Contents by id, of tables that were read before."""

    members: Mapping[str, Content]
    candidates: Mapping[str, Content]


def read_log(table: Table, actions: Sequence[str], known: Known) -> list[ShownCandidate]:
    """All shown candidates, lists in the order of the file. Raises DataError with file, row and column."""
    need(table, "list_id" in table.columns, "there is no column 'list_id'", "list_id")
    taken = _actions(table, actions)
    members, candidates = _side(table, "member", known.members), _side(table, "candidate", known.candidates)
    rows = zip(
        ids(table, "list_id", None),
        ids(table, "member_id", members),
        members,
        ids(table, "candidate_id", candidates),
        candidates,
        _positions(table),
        _times(table),
        _propensities(table),
        words(table, "policy_id") if "policy_id" in table.columns else [""] * table.height,
        read_features(table),
        splits(table),
        strict=True,
    )
    found: dict[tuple[str, str], ShownCandidate] = {}
    places: dict[str, int] = {}
    for row, row_values in enumerate(rows):
        list_id, member_id, member, candidate_id, candidate, position, time, chance, policy, features, split = (
            row_values
        )
        key = (list_id, candidate_id)
        if key in found:
            found[key] = _merged(table, found[key], row, position, taken)
            continue
        places[list_id] = position or places.get(list_id, 0) + 1
        times_shown, done = taken[row]
        found[key] = ShownCandidate(
            row, list_id, member_id, member, candidate_id, candidate, places[list_id], times_shown, done, time,
            chance, policy, features, split,
        )  # fmt: skip
    _check_lists(table, found.values(), has_positions="position" in table.columns)
    return list(found.values())


def actions_of(table: Table) -> tuple[str, ...]:
    """The actions that a file speaks of: the words of `action`, else the further columns of whole numbers."""
    if "action" in table.columns:
        found = dict.fromkeys(word.lower() for word in words(table, "action"))
        return tuple(word for word in found if word and word not in NO_ACTION)
    further = [name for name in table.columns if name not in LOG_COLUMNS and not name.startswith(LOG_PREFIXES)]
    return tuple(name for name in further if _is_counted(table, name))


def _is_counted(table: Table, name: str) -> bool:
    limit = MANY if "shown" in table.columns else range(2)
    return all(
        str(value).removesuffix(".0").isdigit() and int(float(str(value))) in limit for value in table.values(name)
    )


def _actions(table: Table, actions: Sequence[str]) -> list[tuple[int, dict[str, int]]]:
    """Of each row: how often it was shown, and how often each action was taken."""
    if "action" in table.columns:
        wanted = (*actions, *NO_ACTION)
        given = []
        for row, word in enumerate(words(table, "action")):
            if word and word.lower() not in wanted:
                raise table.error(row, "action", f"{shown(word)} is none of the actions {', '.join(actions)}")
            given.append((1, {name: int(word.lower() == name) for name in actions}))
        return given
    for name in actions:
        need(table, name in table.columns, f"there is no column 'action' and no column {name!r}", "action")
    counts = [list(whole_numbers(table, name, MANY, "count")) for name in actions]
    totals = list(whole_numbers(table, "shown", MANY, "count")) if "shown" in table.columns else [1] * table.height
    found = []
    for row, (total, *done) in enumerate(zip(totals, *counts, strict=True)):
        for name, count in zip(actions, done, strict=True):
            if total is None or count is None or count > total:
                limit = f"of the {total} times shown" if "shown" in table.columns else "0 or 1"
                raise table.error(row, name, f"{count} is no count {limit}: correct the row")
        found.append((total or 0, {name: count or 0 for name, count in zip(actions, done, strict=True)}))
    return found


def _side(table: Table, side: Side, known: Mapping[str, Content]) -> list[Content]:
    if has_side(table, side):
        return list(contents(table, side))
    need(table, f"{side}_id" in table.columns, f"there is no column {side!r}, {side}.FIELD or {side}_id", side)
    found = []
    for row, each in enumerate(ids(table, f"{side}_id", None)):
        if each not in known:
            where = "the pairs" if side == "member" else "the pairs and the catalogue"
            raise table.error(row, f"{side}_id", f"{shown(each)} is not among {where}: add its text there or here")
        found.append(known[each])
    return found


def _positions(table: Table) -> Iterator[int | None]:
    if "position" not in table.columns:
        yield from [None] * table.height
        return
    for row, place in enumerate(whole_numbers(table, "position", range(1, 100_000), "position")):
        if place is None:
            raise table.error(row, "position", "is empty: positions count from 1")
        yield place


def _times(table: Table) -> Iterator[str]:
    """Times as ISO 8601 texts, which sort as times do."""
    if "time" not in table.columns:
        yield from [""] * table.height
        return
    for row, value in enumerate(table.values("time")):
        if isinstance(value, (datetime.datetime, datetime.date)):
            yield value.isoformat()
            continue
        try:
            yield datetime.datetime.fromisoformat(str(value).strip()).isoformat()
        except ValueError:
            raise table.error(
                row, "time", f"{shown(value)} is no time: write it as 2026-01-31 or 2026-01-31T09:30"
            ) from None


def _propensities(table: Table) -> Iterator[float | None]:
    """Chances above 0, up to 1; None for an empty cell."""
    if "propensity" not in table.columns:
        yield from [None] * table.height
        return
    for row, value in enumerate(table.values("propensity")):
        chance = as_number(value)
        is_empty = value is None or (isinstance(value, str) and not value.strip())
        if not is_empty and (chance is None or not 0 < chance <= 1):
            sentence = f"{shown(value)} is no chance of being shown: a number above 0, up to 1, is wanted"
            raise table.error(row, "propensity", sentence)
        yield chance


def _merged(
    table: Table, first: ShownCandidate, row: int, position: int | None, taken: list[tuple[int, dict[str, int]]]
) -> ShownCandidate:
    """A second row of a candidate in its list, at the same place: a further action, or more counts."""
    if "action" not in table.columns and "shown" not in table.columns:
        raise table.error(row, "candidate_id", f"is in its list twice, first in row {first.row}: keep one of the rows")
    if position is not None and position != first.position:
        raise table.error(row, "position", f"row {first.row} has this candidate of the list at {first.position}")
    times_shown, done = taken[row]
    if "action" not in table.columns:
        added = {name: count + first.actions[name] for name, count in done.items()}
        return replace(first, shown=first.shown + times_shown, actions=added)
    return replace(first, actions={name: max(count, first.actions[name]) for name, count in done.items()})


def _check_lists(table: Table, rows: Iterable[ShownCandidate], *, has_positions: bool) -> None:
    """One member and one split a list, and one candidate a place."""
    members: dict[str, ShownCandidate] = {}
    places: dict[tuple[str, int], int] = {}
    for each in rows:
        first = members.setdefault(each.list_id, each)
        if each.member_id != first.member_id:
            raise table.error(
                each.row, "list_id", f"row {first.row} has another member in this list: one list, one member"
            )
        if each.split != first.split:
            raise table.error(each.row, "split", f"row {first.row} has this list in {first.split}: one list, one split")
        if has_positions:
            taken = places.setdefault((each.list_id, each.position), each.row)
            if taken != each.row:
                sentence = f"row {taken} of the list has position {each.position} too: correct one"
                raise table.error(each.row, "position", sentence)
