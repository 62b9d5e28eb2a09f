"""Looks at held-out sets: every time that a test split is scored, a line is appended beside the results.

A set that was looked at often is a development set. The count belongs to the set's digest: another content is another
test, and its count starts at one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from training.data.held_out import HeldOutSet
from training.errors import UserError


@dataclass(frozen=True)
class Look:
    """How often a set was looked at, this time included, and how often in another form."""

    number: int
    in_another_form: int


class BadLooks(UserError):
    """A record of looks that cannot be read; the message names file and line."""


def record_looks(path: Path, sets: Sequence[HeldOutSet], systems: Sequence[str], commit: str) -> dict[str, Look]:
    """Append one line for each set, and return the count of each, by name."""
    rows = read_looks(path)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    fresh = [
        {"date": now, "commit": commit, "set": each.name, "digest": each.digest, "systems": list(systems)}
        for each in sets
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in fresh)
    found = {}
    for each in sets:
        digests = [row["digest"] for row in rows if row["set"] == each.name]
        same = digests.count(each.digest)
        found[each.name] = Look(same + 1, len(digests) - same)
    return found


def read_looks(path: Path) -> list[dict[str, str]]:
    """All rows so far; none where there is no file. Raises BadLooks."""
    rows = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines() if path.exists() else (), 1):
        try:
            row = json.loads(text)
            rows.append({"set": str(row["set"]), "digest": str(row["digest"])})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise BadLooks(f"{path}: line {number}: must be a JSON object with `set` and `digest`") from error
    return rows
