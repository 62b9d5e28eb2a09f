"""The policy: what product management and engineering agreed that a good candidate is, as values.

Name, version and a hash of its whole text identify a policy; teachers and bundles made under it carry that `stamp`.
A grade carries the stamp of its dimension's section (`stamps.py`), which other sections do not change. This file knows
the content of a policy, not the form of its document (`parser.py`).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from training.errors import UserError

GRADES = (4, 3, 2, 1, 0)
POOR = 1
"""The highest grade that speaks against a candidate: 0 must not be shown, 1 only where nothing is better."""
OVERALL = "overall"
RELEVANCE = "relevance"
"""The head of the overall grade. The head of a dimension has the dimension's name."""


class PolicyMismatch(UserError):
    """Something made under another policy; the message names both."""


@dataclass(frozen=True)
class Grade:
    """One step of a dimension's scale."""

    value: int
    name: str
    meaning: str


@dataclass(frozen=True)
class Example:
    """A pair, the grade that it gets, and why."""

    grade: int
    title: str
    member: str
    candidate: str
    because: str


@dataclass(frozen=True)
class Dimension:
    """One aspect that the policy judges; `grades` are in falling order, 4 to 0.

    `sha256` covers all that decides its grades: the policy's rules and the section, without its weight.
    """

    name: str
    weight: int
    question: str
    guidance: str
    grades: tuple[Grade, ...]
    examples: tuple[Example, ...]
    sha256: str = field(compare=False)


@dataclass(frozen=True)
class Cap:
    """If `dimension` is at most `grade`, the overall grade is at most `overall`."""

    dimension: str
    grade: int
    overall: int


@dataclass(frozen=True)
class Policy:
    """A parsed policy document."""

    name: str
    version: str
    sha256: str
    rules: str
    dimensions: tuple[Dimension, ...]
    caps: tuple[Cap, ...]

    @property
    def label(self) -> str:
        """Its name for people and in responses: `jobs-policy@1.0.0`."""
        return f"{self.name}@{self.version}"

    @property
    def stamp(self) -> str:
        """The label and the text's hash, recorded with everything made under this policy."""
        return f"{self.label}#{self.sha256[:12]}"

    @property
    def dimension_names(self) -> tuple[str, ...]:
        """Names of the dimensions, in the order of the document."""
        return tuple(dimension.name for dimension in self.dimensions)

    def overall(self, grades: Mapping[str, int | None]) -> int | None:
        """The weighted mean of the graded dimensions, rounded (halves down) and limited by the caps.

        None if no dimension has a grade.
        """
        known = {d.name: g for d in self.dimensions if (g := grades.get(d.name)) is not None}
        weights = {d.name: d.weight for d in self.dimensions}
        if not known:
            return None
        whole = sum(weights[name] for name in known)
        total = sum(weights[name] * grade for name, grade in known.items())
        rounded = -((whole - 2 * total) // (2 * whole))  # ceil(mean - 1/2), in integers
        return min([rounded, *(c.overall for c in self.caps if known.get(c.dimension, c.grade + 1) <= c.grade)])


Combination = tuple[int | None, ...]
"""A grade of each dimension, in the policy's order."""
Grid = Mapping[Combination, int | None]


def every_overall(policy: Policy) -> Grid:
    """The overall grade of all 6^dimensions combinations of grades, null included."""
    names = policy.dimension_names
    every = itertools.product((*GRADES, None), repeat=len(names))
    return {each: policy.overall(dict(zip(names, each, strict=True))) for each in every}


def text_hash(text: str) -> str:
    """SHA-256 of a document's text without line ends and trailing spaces; any other character counts."""
    return hashlib.sha256("\n".join(line.rstrip() for line in text.splitlines()).encode()).hexdigest()


def check_stamp(found: str, policy: Policy, origin: str) -> None:
    """Raise PolicyMismatch unless `origin` was made under exactly this policy text."""
    if found != policy.stamp:
        raise PolicyMismatch(f"{origin} was made under policy {found}, and the recipe's policy is {policy.stamp}")
