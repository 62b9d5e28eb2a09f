"""Every system on every held-out set: scores by head and list. Keeps the scores of systems that say what they are.

S seeds | n candidates of a list
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.held_out import HeldOutList, HeldOutSet
from training.data.lists import FieldList
from training.errors import UserError
from training.evaluation.systems.interface import Cost, HeadScores, Kind, System
from training.files import complete
from training.policy.policy import OVERALL

TRAINED = ("dot", "teacher", "student")
JUDGE_AGAIN = "judge, second run"


class BadScores(UserError):
    """A system that gave something else than a score for each pair; the message names system, set and head."""


@dataclass(frozen=True)
class Scored:
    """One system's scores on a set, over its seeds: `heads[head][list]` is f64[S, n]; NaN where it gave none."""

    name: str
    kind: Kind
    seeds: int
    is_calibrated: bool
    heads: Mapping[str, Sequence[np.ndarray]]
    cost: Cost
    pairs_per_second: float | None


def score_set(held_out: HeldOutSet, systems: Sequence[System], cache: Path | None) -> list[Scored]:
    """The scores of all systems, those of one name together, then of the judge's second run. Raises BadScores."""
    asked = [each for each in systems if not (held_out.only_untrained and each.kind in TRAINED)]
    if held_out.only_what_ships:
        asked = [each for each in asked if each.seed == 0 and (each.kind != "teacher" or each.most_lists)]
    found = []
    for name in dict.fromkeys(system.name for system in asked):
        found.append(_scored(held_out, [system for system in asked if system.name == name], cache))
    return [*found, *_judge_again(held_out)]


def _judge_again(held_out: HeldOutSet) -> list[Scored]:
    heads = dict.fromkeys(head for each in held_out.lists for head in each.second_opinion)
    if not heads:
        return []
    answers = {
        head: [
            np.array([each.second_opinion.get(head, [None] * len(each.list.candidates))], dtype=np.float64)
            for each in held_out.lists
        ]
        for head in heads
    }
    return [Scored(JUDGE_AGAIN, "judge", 1, True, answers, Cost(), None)]


def _scored(held_out: HeldOutSet, group: Sequence[System], cache: Path | None) -> Scored:
    first = group[0]
    rows = _rows(held_out, first)
    lists = [held_out.lists[row].list for row in rows]
    by_seed, paces = [], []
    for system in group:
        scores, pace = _kept(system, held_out, lists, cache) if lists else ({}, None)
        by_seed.append(scores)
        paces += [pace] if pace else []
    heads = [head for head in by_seed[0] if all(head in scores for scores in by_seed)]
    spread = {head: _spread(held_out.lists, rows, [scores[head] for scores in by_seed]) for head in heads}
    known = float(np.mean(paces)) if paces else None
    return Scored(first.name, first.kind, len(group), first.is_calibrated, spread, first.cost, known)


def _rows(held_out: HeldOutSet, system: System) -> list[int]:
    """The lists that a system is asked: not those that it was trained on, and at most `most_lists` of them."""
    rows = [row for row, each in enumerate(held_out.lists) if system.name not in each.already_trained_on]
    if system.most_lists is None or len(rows) <= system.most_lists:
        return rows
    return sorted(random.Random(0).sample(rows, system.most_lists))


def _spread(lists: Sequence[HeldOutList], rows: Sequence[int], scores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Scores f64[pairs of `rows`] of each seed -> f64[S, n] of every list, NaN for the others."""
    found = [np.full((len(scores), len(each.list.candidates)), np.nan) for each in lists]
    start = 0
    for row in rows:
        size = found[row].shape[1]
        found[row][:] = [one[start : start + size] for one in scores]
        start += size
    return found


def _kept(
    system: System, held_out: HeldOutSet, lists: Sequence[FieldList], cache: Path | None
) -> tuple[HeadScores, float | None]:
    """Scores and pairs per second, from the cache if the same system scored the same lists before."""
    path = cache / f"{_key(system, lists)}.npz" if cache and system.identity else None
    if path and path.exists():
        with np.load(path) as file:
            return {head: file[head] for head in file.files if head != "pairs/s"}, float(file["pairs/s"])
    started = time.perf_counter()
    scores = system.score(lists)
    pairs = sum(len(each.candidates) for each in lists)
    pace = pairs / max(time.perf_counter() - started, 1e-9)
    _check(system, held_out, scores, pairs)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with complete(path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **{**scores, "pairs/s": np.array(pace)})
    return scores, pace


def _key(system: System, lists: Sequence[FieldList]) -> str:
    """Of the system and the texts; gains may change, since no system sees them."""
    texts = [[dict(each.member), [dict(fields) for fields in each.candidates]] for each in lists]
    return hashlib.sha256(json.dumps([system.identity, texts], sort_keys=True).encode()).hexdigest()[:32]


def _check(system: System, held_out: HeldOutSet, scores: HeadScores, pairs: int) -> None:
    where = f"{system.name} on {held_out.name}"
    if OVERALL not in scores:
        raise BadScores(f"{where}: there is no head {OVERALL!r}; there are: {', '.join(scores) or 'none'}")
    for head, values in scores.items():
        if values.shape != (pairs,):
            raise BadScores(f"{where}: head {head!r} has {values.shape} scores for {pairs} pairs")
        if np.isinf(values).any():
            raise BadScores(f"{where}: head {head!r} has an infinite score for pair {int(np.isinf(values).argmax())}")
        known = values[~np.isnan(values)]
        if system.is_calibrated and ((known < 0) | (known > 1)).any():
            raise BadScores(f"{where}: head {head!r} states {known.min():.3g} to {known.max():.3g}, outside 0 to 1")


def names_of(systems: Iterable[System]) -> list[str]:
    """`name` or `name (3 seeds)`, for the record of a look."""
    counts: dict[str, int] = {}
    for system in systems:
        counts[system.name] = counts.get(system.name, 0) + 1
    return [name if count == 1 else f"{name} ({count} seeds)" for name, count in counts.items()]
