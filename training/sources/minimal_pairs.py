"""Hand-written minimal pairs of jobs: a member, and two jobs of which one is better on one dimension. For tests alone.

One JSON object a line: dimension, member, better, worse, why; the last three sides are fields as in a request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from models.template import Fields
from training.data.tables import DataError
from training.policy.policy import Policy
from training.sources.judged import DATASETS, MEMBER_FIELDS, POSTING_FIELDS

SIDES = {"member": MEMBER_FIELDS, "better": POSTING_FIELDS, "worse": POSTING_FIELDS}


@dataclass(frozen=True)
class MinimalJobPair:
    """`better` has the higher grade on `dimension`; `why` says what decides."""

    dimension: str
    member: Fields
    better: Fields
    worse: Fields
    why: str


def minimal_job_pairs(policy: Policy, path: Path = DATASETS / "minimal_pairs_jobs.jsonl") -> list[MinimalJobPair]:
    """All pairs of the file. Raises DataError naming line and key for what is not a pair."""
    return [_pair(line, f"{path}: line {n}", policy) for n, line in enumerate(path.read_text().splitlines(), 1)]


def _pair(line: str, where: str, policy: Policy) -> MinimalJobPair:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not a JSON object ({error.msg})") from error
    if not isinstance(row, dict) or set(row) != {"dimension", *SIDES, "why"}:
        raise DataError(f"{where}: must have the keys dimension, {', '.join(SIDES)}, why")
    if row["dimension"] not in policy.dimension_names:
        raise DataError(f"{where}, 'dimension': must be one of {', '.join(policy.dimension_names)}")
    for side, names in SIDES.items():
        if set(row[side]) != set(names) or not any(row[side].values()):
            raise DataError(f"{where}, {side!r}: must have the fields {', '.join(names)}, and one with a text")
    fields = {side: {name: value for name, value in row[side].items() if value} for side in SIDES}
    return MinimalJobPair(row["dimension"], fields["member"], fields["better"], fields["worse"], row["why"])
