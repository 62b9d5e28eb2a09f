"""The policy: what product management and engineering agreed that a good candidate is, as values.

A policy is identified by name, version and a hash of its whole text; its `stamp` stands on every label, teacher and
bundle that was made under it. This file knows what a policy says, not how the document is written (`policy_text.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from training.errors import UserError

GRADES = (4, 3, 2, 1, 0)
OVERALL = "overall"


class PolicyMismatch(UserError):
    """Something made under another policy; the sentence names both."""


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
    """One thing that the policy judges; `grades` fall from 4 to 0."""

    name: str
    weight: int
    question: str
    guidance: str
    grades: tuple[Grade, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Cap:
    """When `dimension` is at most `grade`, the overall grade is at most `overall`."""

    dimension: str
    grade: int
    overall: int


@dataclass(frozen=True)
class Policy:
    """A policy document, read."""

    name: str
    version: str
    sha256: str
    rules: str
    dimensions: tuple[Dimension, ...]
    caps: tuple[Cap, ...]

    @property
    def label(self) -> str:
        """What people and responses call it: `jobs-policy@1.0.0`."""
        return f"{self.name}@{self.version}"

    @property
    def stamp(self) -> str:
        """The label and the text's hash: what is written beside everything made under this policy."""
        return f"{self.label}#{self.sha256[:12]}"

    @property
    def dimension_names(self) -> tuple[str, ...]:
        """Names of the dimensions, in the order of the document."""
        return tuple(dimension.name for dimension in self.dimensions)

    def overall(self, grades: Mapping[str, int | None]) -> int | None:
        """The weighted mean of the dimensions that have a grade, rounded (halves down) and held down by the caps;
        None when no dimension has one.
        """
        known = {d.name: g for d in self.dimensions if (g := grades.get(d.name)) is not None}
        weights = {d.name: d.weight for d in self.dimensions}
        if not known:
            return None
        whole = sum(weights[name] for name in known)
        total = sum(weights[name] * grade for name, grade in known.items())
        rounded = -((whole - 2 * total) // (2 * whole))  # ceil(mean - 1/2), in integers
        return min([rounded, *(c.overall for c in self.caps if known.get(c.dimension, c.grade + 1) <= c.grade)])


def text_hash(text: str) -> str:
    """SHA-256 of a document's text; line ends and spaces at their ends do not count, any other character does."""
    return hashlib.sha256("\n".join(line.rstrip() for line in text.splitlines()).encode()).hexdigest()


def check_stamps(found: Iterable[str], policy: Policy, origin: str) -> None:
    """Raise PolicyMismatch for the first label of a table that was made under another text."""
    for row, stamp in enumerate(found):
        check_stamp(stamp, policy, f"{origin}: row {row}, column 'policy': the label")


def check_stamp(found: str, policy: Policy, origin: str) -> None:
    """Raise PolicyMismatch unless `origin` was made under this very text of the policy."""
    if found != policy.stamp:
        raise PolicyMismatch(f"{origin} was made under policy {found}, and the recipe's policy is {policy.stamp}")
