"""What a caller may insist on: that the model knows each field, and that no text is cut. Else the request is refused.
So is a feature that no model of the product declares.

Pointers are those of `POST /score`; other shapes translate them. A fault names fields of the template only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from models.template import Template
from service.encoding.inputs import Readings
from service.errors import FieldError, Invalid
from service.request import Item, ScoringRequest

MAX_FAULTS = 20
MAX_NAME = 200


def refuse_unknown_fields(template: Template, request: ScoringRequest) -> None:
    """Raise Invalid if a field of the request is not in the model's template."""
    faults = list(_unknown_fields("/member", request.member, sorted(template.member_names)))
    for place, candidate in enumerate(request.candidates):
        faults += _unknown_fields(f"/candidates/{place}", candidate, sorted(template.candidate_names))
    if faults:
        raise Invalid(errors=faults)


def _unknown_fields(where: str, item: Item, known: Sequence[str]) -> Iterator[FieldError]:
    unknown = item.content.keys() - set(known) if isinstance(item.content, dict) else ()
    for name in sorted(unknown):
        yield FieldError(f"{where}/fields", f"has a name that is not in the model's template; {_hint(name, known)}")


def refuse_undeclared_features(declared: frozenset[str], candidates: Sequence[Item]) -> None:
    """Raise Invalid, with a pointer to each feature that is not among the `declared` ones.

    Features are names of a bundle, not of people, so the pointer ends with the caller's own name.
    """
    faults = [
        _undeclared(f"/candidates/{place}/features", name, sorted(declared))
        for place, each in enumerate(candidates)
        if each.features and not declared.issuperset(each.features)
        for name in sorted(each.features.keys() - declared)
    ]
    if faults:
        raise Invalid(errors=faults[:MAX_FAULTS])


def _undeclared(where: str, name: str, declared: Sequence[str]) -> FieldError:
    pointer = name[:MAX_NAME].replace("~", "~0").replace("/", "~1")
    return FieldError(f"{where}/{pointer}", f"is not a feature of the model; {_hint(name, declared)}")


def _hint(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"it has {', '.join(known) or 'none'}"


def refuse_cut_texts(readings: Readings) -> None:
    """Raise Invalid if the model cannot read the whole text of a candidate."""
    faults = [
        FieldError(f"/candidates/{place}", f"has {counts.read + counts.cut} tokens, and {counts.read} can be read")
        for place, counts in readings.candidates.items()
        if counts.cut
    ]
    if faults:
        raise Invalid(errors=faults)
