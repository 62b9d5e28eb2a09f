"""Held-out sets: lists that measure systems and train none, with what a report must know about each.

Knows neither systems nor metrics. Fields stay fields: each system renders texts by its own template.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from training.data.lists import FieldList

Origin = Literal["judged by a large model", "labelled by people", "made by rule", "written by hand", "behaviour"]
"""Where the gains of a set come from."""
ALL = "all"
"""The part that holds every candidate."""


@dataclass(frozen=True)
class Judgement:
    """The ids of a judged pair, and the judge's reason for each dimension."""

    member_id: str
    candidate_id: str
    reasons: Mapping[str, str]


@dataclass(frozen=True)
class HeldOutList:
    """One list, its cluster, and which of its candidates belong to each part of the set.

    Lists of one cluster are not independent: the bootstrap draws clusters. `heads` of the list's labels are dimensions
    of the policy and `overall`. `already_trained_on` names systems that had this list in training. `second_opinion` has
    the gains of a second run of the judge. `judgements` has one for each candidate, or none: a report may show the
    texts of lists that have them.
    """

    list: FieldList
    cluster: str
    parts: Mapping[str, Sequence[bool]] = field(default_factory=dict)
    already_trained_on: frozenset[str] = frozenset()
    second_opinion: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    judgements: tuple[Judgement, ...] = ()


@dataclass(frozen=True)
class HeldOutSet:
    """A named set. `about` says in a sentence what it measures; `measures` are names of `training.metrics.measures`.

    `graded_dimensions`: gains of dimensions are grades, so that agreement by dimension has a meaning.
    `only_untrained`: training lists are among them, so no teacher or student is measured.
    `only_what_ships`: the set is long and asks whether the first seed may ship, so the others are not measured, and
    teachers only as far as they are asked to.
    """

    name: str
    origin: Origin
    about: str
    lists: tuple[HeldOutList, ...]
    measures: tuple[str, ...]
    parts: tuple[str, ...] = ()
    graded_dimensions: tuple[str, ...] = ()
    only_untrained: bool = False
    only_what_ships: bool = False

    @property
    def digest(self) -> str:
        """A short hash of members, candidates, gains and clusters: the same only for the same test."""
        found = hashlib.sha256()
        for each in self.lists:
            one = each.list
            row = [dict(one.member), [dict(fields) for fields in one.candidates], dict(one.labels), each.cluster]
            found.update(json.dumps(row, sort_keys=True, default=list).encode())
        return found.hexdigest()[:12]
