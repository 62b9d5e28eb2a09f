"""A product's log and a bundle -> slots for the estimates. Knows the product's files and how a bundle ranks a list.

Two kinds of log: `arms`, where a list's candidates were shown one at a time (a column `shown` counts how often), and
`rankings`, where each list was shown whole, one candidate a place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np

from models.bundle.files import Bundle
from models.template import Fields
from training.counterfactual.estimates import Slots
from training.counterfactual.position import Shown
from training.data.lists import FieldList
from training.data.source_files import SourceFiles
from training.errors import UserError
from training.evaluation.systems.bundles import bundle_system, head_name
from training.product.lists import DataSettings, log_lists, open_table, shown_candidates
from training.product.lists import lists as graded_lists
from training.product.reading.log import ShownCandidate
from training.product.settings import read_settings

FEWEST_MEMBERS = 20
"""With fewer members, lists are the clusters."""
UNIFORM = "uniform"
Kind = Literal["arms", "rankings"]


@dataclass(frozen=True)
class LoggedLists:
    """Lists of a log with what the intervals are drawn over. `notes` say what was assumed."""

    kind: Kind
    action: str
    lists: tuple[tuple[ShownCandidate, ...], ...]
    clusters: np.ndarray
    notes: tuple[str, ...]

    @property
    def rows(self) -> list[ShownCandidate]:
        return [each for some in self.lists for each in some]


def read_logged(folder: Path, action: str, split: str, policy_id: str) -> LoggedLists:
    """The lists of a split, or of all; with a `policy_id`, its rows alone. Raises UserError or DataError."""
    settings, data = read_settings(folder), SourceFiles(folder)
    plan = DataSettings.of(settings)
    table = open_table(plan, data, settings.files.log)
    if table is None:
        raise UserError(f"{folder} has no log: set files.log in product.toml")
    action = action or next(iter(settings.log.actions), "")
    if action not in settings.log.actions:
        raise UserError(f"{action!r} is no action of the log; there are: {', '.join(settings.log.actions)}")
    kind: Kind = "arms" if "shown" in table.columns else "rankings"
    if kind == "rankings" and "position" not in table.columns:
        raise UserError(
            f"{table.name}: there is no column `position` and no column `shown`: nothing says what was seen"
        )
    splits = {each.list_id: each.split for each in (graded_lists if plan.rates else log_lists)(plan, data)}
    by_list: dict[str, list[ShownCandidate]] = {}
    for each in shown_candidates(plan, data):
        if policy_id in ("", each.policy_id) and split in ("all", splits.get(each.list_id)):
            by_list.setdefault(each.list_id, []).append(each)
    lists = tuple(tuple(some) for some in by_list.values())
    if not lists:
        raise UserError(f"the log has no list in {split}" + (f" of policy {policy_id!r}" if policy_id else ""))
    members = [some[0].member_id for some in lists]
    by_member = len(set(members)) >= FEWEST_MEMBERS
    _, clusters = np.unique(members if by_member else list(by_list), return_inverse=True)
    notes = (f"{len(lists):,} lists; intervals are drawn over {'members' if by_member else 'lists'}",)
    return LoggedLists(kind, action, lists, clusters, notes)


def propensities(logged: LoggedLists, given: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Of each row, f64[N], and what to doubt. Raises UserError where the log states none and none were named."""
    sizes = np.array([len(some) for some in logged.lists for _ in some], dtype=np.float64)
    if given == UNIFORM:
        return 1 / sizes, ()
    rows = logged.rows
    missing = next((each for each in rows if each.propensity is None and each.shown), None)
    if missing is not None:
        raise UserError(
            f"row {missing.row} of the log has no propensity, the chance that it was shown there. Where the order was"
            " drawn at random, `--propensity uniform` says so; without chance in the log there is no answer"
        )
    found = np.array([each.propensity or 1.0 for each in rows])
    if logged.kind == "arms" and all(each.propensity is not None for each in rows):
        totals = np.bincount(_list_of(logged), weights=found)
        off = int((np.abs(totals - 1) > 0.01).sum())
        if off:
            return found, (f"the propensities of {off:,} of {len(totals):,} lists do not add up to 1",)
    return found, ()


def slots_of(logged: LoggedLists, bundle: Path, propensity: np.ndarray, top: int | None) -> Slots:
    """What the bundle would choose: the best candidate of a list of arms, or its order of a ranking."""
    scores = _scores(logged, bundle)
    sizes = [len(some) for some in logged.lists]
    rank = np.concatenate([_ranks(each) for each in np.split(scores, np.cumsum(sizes)[:-1])])
    rows, list_of = logged.rows, _list_of(logged)
    shown = np.array([each.shown for each in rows], dtype=np.float64)
    actions = np.array([each.actions[logged.action] for each in rows], dtype=np.float64)
    if logged.kind == "arms":
        decided = np.bincount(list_of, weights=shown)
        target = (rank == 1).astype(np.float64)
        chosen = target * decided[list_of]
    else:
        places = np.array([each.position for each in rows])
        last = top or int(places.max())
        inside = places <= last
        shown, actions = shown * inside, actions * inside
        decided = np.bincount(list_of, weights=shown)
        target, chosen = (rank == places) * inside.astype(np.float64), (rank <= last).astype(np.float64)
    return Slots(list_of, shown, actions, propensity, target, chosen, scores, decided, logged.clusters)


def shown_of(logged: LoggedLists, propensity: np.ndarray | None) -> Shown:
    """Rows for the model of positions; its items are candidates, of all members."""
    rows = logged.rows
    _, items = np.unique([each.candidate_id for each in rows], return_inverse=True)
    return Shown(
        places=np.array([each.position for each in rows]),
        items=items,
        shown=np.array([each.shown for each in rows], dtype=np.float64),
        actions=np.array([each.actions[logged.action] for each in rows], dtype=np.float64),
        clusters=logged.clusters[_list_of(logged)],
        propensity=propensity,
    )


def credits_of(logged: LoggedLists, versions: tuple[str, str]) -> list[Mapping[str, float]]:
    """Actions of each list by the version that placed the candidate: the rows' `policy_id`."""
    found: list[Mapping[str, float]] = []
    for some in logged.lists:
        credit = dict.fromkeys(versions, 0.0)
        for each in some:
            if each.policy_id in credit:
                credit[each.policy_id] += each.actions[logged.action]
        found.append(credit)
    return found


def _list_of(logged: LoggedLists) -> np.ndarray:
    return np.repeat(np.arange(len(logged.lists)), [len(some) for some in logged.lists])


def _scores(logged: LoggedLists, bundle: Path) -> np.ndarray:
    """The score that the service gives with the bundle's own blend, f64[N]."""
    blend = Bundle.load(bundle).manifest.default_blend
    lists = [field_list(some) for some in logged.lists]
    heads = bundle_system(bundle, bundle.name, "other").score(lists)
    total = sum(blend.values())
    return np.asarray(sum(heads[head_name(name)] * weight / total for name, weight in blend.items()))


def field_list(some: Sequence[ShownCandidate]) -> FieldList:
    """A list as a bundle scores it, with the numbers of its candidates."""
    member, candidates = cast(Fields, some[0].member), [cast(Fields, each.candidate) for each in some]
    names = dict.fromkeys(name for each in some for name in each.features)
    features = {name: [each.features.get(name) for each in some] for name in names}
    return FieldList(some[0].list_id, "log", "test", member, candidates, {}, features)


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Ranks from 1 by falling score; the earlier row first among equals."""
    found = np.empty(len(scores), dtype=np.int64)
    found[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return found


def without_lone(logged: LoggedLists) -> LoggedLists:
    """Without lists of one candidate, where nothing could be chosen. Raises UserError where no other is left."""
    kept = [row for row, some in enumerate(logged.lists) if len(some) > 1]
    if not kept:
        raise UserError("every list of the log has one candidate: write all that could have been shown, with `shown` 0")
    lone = len(logged.lists) - len(kept)
    notes = (*logged.notes, *([f"{lone:,} lists of one candidate are left out"] if lone else []))
    _, clusters = np.unique(logged.clusters[kept], return_inverse=True)
    return replace(logged, lists=tuple(logged.lists[row] for row in kept), clusters=clusters, notes=notes)


def policies_of(logged: LoggedLists) -> Sequence[str]:
    """The ids of the policies that logged these lists, by falling number of rows."""
    counts: dict[str, int] = {}
    for each in logged.rows:
        if each.policy_id:
            counts[each.policy_id] = counts.get(each.policy_id, 0) + 1
    return sorted(counts, key=lambda name: -counts[name])
