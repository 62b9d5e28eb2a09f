"""Warnings about texts and features: what the model does not know, or cannot read. Knows no HTTP shape.

An answer may name fields that its caller chose. Metrics and logs get the codes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.features import FeatureRows
from models.text import TokenCounts
from service.encoding.inputs import Readings
from service.request import Item

Code = Literal[
    "bad_field",
    "unknown_field",
    "unknown_tokens",
    "unreadable",
    "too_long",
    "bad_feature",
    "clipped_feature",
    "unused_feature",
]
# A text of which this share is unknown to the vocabulary is hardly read: another language, or no language.
UNKNOWN_SHARE = 0.25
MEMBER = -1
"""The place of the member, beside those of the candidates."""


@dataclass(frozen=True, slots=True)
class TextWarning:
    """What to know about how one text, or its features, are read. `fields` are the names that it is about."""

    code: Code
    detail: str
    fields: Sequence[str] = ()


Warnings = Mapping[int, Sequence[TextWarning]]
"""Warnings by place."""


def warnings_of(readings: Readings, member: Item, candidates: Sequence[Item], max_chars: int) -> Warnings:
    """The warnings about a request, by place; only of texts that have some."""
    found = {place: [TextWarning("bad_field", str(each), [each.field])] for place, each in readings.faults.items()}
    if readings.member_unknown_fields:
        found.setdefault(MEMBER, []).append(_unknown_field(readings.member_unknown_fields))
    for place, names in readings.unknown_fields.items():
        found.setdefault(place, []).append(_unknown_field(names))
    counts = ((MEMBER, readings.member), *readings.candidates.items())
    for place, own in [each for each in counts if each[1].unknown >= UNKNOWN_SHARE * each[1].read]:
        found.setdefault(place, []).append(_unknown_tokens(own))
    for place in [place for place, item in enumerate((member, *candidates), MEMBER) if item.num_chars > max_chars]:
        detail = f"the text has more than {max_chars} characters; the model reads none of the others"
        found.setdefault(place, []).append(TextWarning("too_long", detail))
    if readings.features is not None:
        for place, warning in _about_features(readings.features):
            found.setdefault(place, []).append(warning)
    return found


def _about_features(features: FeatureRows) -> Iterator[tuple[int, TextWarning]]:
    for place, fault in features.faults.items():
        yield place, TextWarning("bad_feature", str(fault), [fault.field])
    for place, names in features.clipped.items():
        yield (
            place,
            TextWarning("clipped_feature", f"out of range, so the nearest bound counts: {', '.join(names)}", names),
        )
    for place, names in features.unused.items():
        yield place, TextWarning("unused_feature", f"the model does not have the features {', '.join(names)}", names)


def _unknown_field(names: Sequence[str]) -> TextWarning:
    detail = f"the model was trained without the fields {', '.join(names)}; they are read as further text"
    return TextWarning("unknown_field", detail, names)


def _unknown_tokens(counts: TokenCounts) -> TextWarning:
    if counts.unknown == counts.read:
        return TextWarning("unreadable", "the model can read nothing of the text")
    return TextWarning("unknown_tokens", f"{counts.unknown} of {counts.read} tokens are not in the model's vocabulary")
