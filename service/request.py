"""A scoring request and the states of its candidates: the leaf types that every room shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from models.features import Sent
from models.template import Fields
from models.text import USUAL_WINDOW, Window


class Priority(StrEnum):
    """Under overload, sheddable requests are rejected first and critical ones last."""

    critical = "critical"
    default = "default"
    sheddable = "sheddable"


class ItemStatus(StrEnum):
    """The outcome of one candidate, as the response states it."""

    scored = "scored"
    failed = "failed"
    not_scored = "not_scored"
    cold = "cold"
    unknown_candidate = "unknown_candidate"
    invalid = "invalid"
    store_down = "store_down"


def num_chars(content: str | Fields | None, *, with_names: bool = False) -> int:
    """Characters of a text, or of the values of fields; `with_names` adds the names of the fields."""
    if content is None or isinstance(content, str):
        return len(content or "")
    chars = sum(map(len, map(str, content.values())))
    return chars + sum(map(len, content)) if with_names else chars


@dataclass(slots=True)
class Item:
    """A member or a candidate as sent: a text, fields, or (candidates only) an id alone; with features, if it has some.

    `num_chars` is counted once, for the limits and for the cost estimate. Not frozen: a request makes up to 1,000.
    """

    id: str
    content: str | Fields | None
    features: Sent | None = None
    num_chars: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        self.num_chars = num_chars(self.content)


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """One member and the candidates to score for it. `deadline` is in monotonic seconds.

    `priority_penalty_s` delays its turn in the queue, not its deadline. `id` and `caller` are for the audit log.

    `whole`: scores of some candidates only are of no use. `strict`: a field that the template lacks is an error, and
    `refuse_cut`: so is a candidate that is longer than its window. `heads` are those that the caller wants to see, None
    for all. `explain`: the caller wants to know what the features change.
    """

    member: Item
    candidates: Sequence[Item]
    blend: Mapping[str, float] | None
    deadline: float
    priority: Priority
    priority_penalty_s: float = 0.0
    id: str = ""
    caller: str = ""
    body_bytes: int = 0
    window: Window = USUAL_WINDOW
    whole: bool = False
    strict: bool = False
    refuse_cut: bool = False
    heads: Sequence[str] | None = None
    explain: bool = False
