"""Stamps of single sections: which grades stay valid when a policy document changes.

A grade carries the stamp of its dimension's section, and an overall grade the stamp of the rule (weights, caps,
rounding): `jobs-policy:role#...`, `jobs-policy:overall#...`. A changed rule voids no grade of a dimension, and a
changed section voids its own grades only. `## Rules` belong to every section. Knows no tables and no files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import MappingProxyType

from training.policy.policy import OVERALL, Policy, PolicyMismatch, text_hash

ROUNDING = "to the nearest grade, halves down"
"""What `Policy.overall` does. A part of the rule that no document can change."""
WHOLE_TEXTS = MappingProxyType(
    {
        "jobs-policy@1.0.0#e8604e983b06": {
            "role": "jobs-policy:role#66826fe919d0",
            "skills": "jobs-policy:skills#5cd811624bf7",
            "seniority": "jobs-policy:seniority#4fc65194e4cc",
            "domain": "jobs-policy:domain#49210eb2500a",
            "constraints": "jobs-policy:constraints#ab0d48ba6c71",
            "overall": "jobs-policy:overall#caac6da45a6a",
        },
        "products-policy@1.0.0#a4c9fcdb22da": {
            "kind": "products-policy:kind#9d8823536c14",
            "attributes": "products-policy:attributes#72fd53c84230",
            "exclusions": "products-policy:exclusions#5de4a8626a67",
            "purpose": "products-policy:purpose#3871c2ced316",
            "overall": "products-policy:overall#d254be1fc9b9",
        },
    }
)
"""Stamps of the sections of earlier whole texts, for grades that carry the stamp of such a text."""


def rule_hash(policy: Policy) -> str:
    """SHA-256 of all that decides an overall grade once the dimensions have theirs."""
    weights = {each.name: each.weight for each in policy.dimensions}
    caps = sorted((cap.dimension, cap.grade, cap.overall) for cap in policy.caps)
    return text_hash(json.dumps([weights, caps, ROUNDING], sort_keys=True))


def section_stamps(policy: Policy) -> dict[str, str]:
    """The stamp of each dimension's section, and under `overall` the stamp of the rule."""
    hashes = {each.name: each.sha256 for each in policy.dimensions} | {OVERALL: rule_hash(policy)}
    return {name: f"{policy.name}:{name}#{digest[:12]}" for name, digest in hashes.items()}


def section_stamp(stamp: str, dimension: str, policy: Policy) -> str:
    """The section's stamp that a grade's `stamp` amounts to: its own, or that of its section in the whole text."""
    if stamp == policy.stamp:
        return section_stamps(policy).get(dimension, stamp)
    return WHOLE_TEXTS.get(stamp, {}).get(dimension, stamp)


def void_sections(stamp: str, policy: Policy) -> frozenset[str]:
    """The dimensions, `overall` included, whose grades under the whole text `stamp` are no longer valid."""
    stamps = section_stamps(policy)
    return frozenset(name for name in stamps if section_stamp(stamp, name, policy) != stamps[name])


def valid_grades(found: Iterable[tuple[str, str]], policy: Policy, origin: str) -> list[bool]:
    """Whether the grade in each row is still valid; `found` has the rows' (dimension, stamp).

    Raises PolicyMismatch for the first grade of another policy, which no edit of this one could have made void.
    """
    stamps = section_stamps(policy)
    known: dict[tuple[str, str], bool] = {}
    valid: list[bool] = []
    for row, (dimension, stamp) in enumerate(found):
        if (dimension, stamp) not in known:
            known[dimension, stamp] = section_stamp(stamp, dimension, policy) == stamps.get(dimension)
            if stamp.split("@")[0].split(":")[0] != policy.name:
                raise _mismatch(row, dimension, stamp, policy, origin)
        valid.append(known[dimension, stamp])
    return valid


def check_stamps(found: Iterable[tuple[str, str]], policy: Policy, origin: str) -> None:
    """Raise PolicyMismatch for the first grade whose section has changed; `found` has the rows' (dimension, stamp).

    The stamp may be that of the section, or of a whole text in which the section was the same.
    """
    rows = list(found)
    valid = valid_grades(rows, policy, origin)
    if not all(valid):
        row = valid.index(False)
        raise _mismatch(row, *rows[row], policy, origin)


def _mismatch(row: int, dimension: str, stamp: str, policy: Policy, origin: str) -> PolicyMismatch:
    wanted = section_stamps(policy).get(dimension, f"no dimension {dimension!r}")
    return PolicyMismatch(
        f"{origin}: row {row}, column 'policy': the grade of {dimension!r} was made under policy {stamp}, and"
        f" the recipe's policy {policy.stamp} has {wanted}"
    )
