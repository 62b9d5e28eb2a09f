"""Faults that pydantic finds -> places in the caller's own body (RFC 6901), each with one sentence.

A fault repeats neither a value nor a name that the caller chose: a pointer ends at the last name that is known.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from service.errors import FieldError

MAX_FAULTS = 20
_NONE_OF_THESE = "none_required"  # null is one choice of several, and no fault of its own


def faults_of(found: Iterable[Mapping[str, Any]], body: object, names: frozenset[str]) -> list[FieldError]:
    """One fault for each place, the deepest ones; `names` may be repeated. At most MAX_FAULTS.

    The alternatives of one place, of which each failed, become one sentence.
    """
    sentences: dict[tuple[str, ...], list[str]] = {}
    for error in found:
        if error["type"] != _NONE_OF_THESE or error["input"] is None:
            place, is_whole = _place(error["loc"][1:], body, names)
            known = sentences.setdefault(place, [])
            if (sentence := _sentence(error, is_whole, names)) not in known:
                known.append(sentence)
    above = {place[:end] for place in sentences for end in range(len(place))}
    deepest = [place for place in sentences if place not in above]
    return [FieldError(_pointer(place), _joined(sentences[place])) for place in deepest[:MAX_FAULTS]]


def _place(location: Sequence[object], body: object, names: frozenset[str]) -> tuple[tuple[str, ...], bool]:
    """The parts of a pointer, and whether it reaches the fault or ends above an unknown name.

    A location also has the names of the alternatives that pydantic tried; they are no names of the body.
    """
    here, parts = body, []
    for index, part in enumerate(location):
        if isinstance(part, int):
            if isinstance(here, list):
                parts.append(str(part))
                here = here[part] if part < len(here) else None
        elif isinstance(here, dict) and part in here:
            if part not in names:
                return tuple(parts), False
            parts.append(str(part))
            here = here[part]
        elif isinstance(here, dict) and index == len(location) - 1 and part in names:
            parts.append(str(part))  # it is missing
    return tuple(parts), True


def _pointer(place: Sequence[str]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in place)


def _joined(sentences: Sequence[str]) -> str:
    must_be = [each.removeprefix("must be ") for each in sentences if each.startswith("must be ")]
    if len(must_be) < 2:
        return sentences[0]
    return f"must be {', '.join(must_be[:-1])} or {must_be[-1]}"


def _sentence(error: Mapping[str, Any], is_whole: bool, names: frozenset[str]) -> str:
    kind, limits = str(error["type"]), error.get("ctx", {})
    if kind == "value_error":  # raised by our own validators, whose sentences are fixed
        return str(error["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), names, n=1)
        return "has a name that is not a field of it" + (f"; did you mean {near[0]}?" if near else "")
    sentence = _SENTENCES[kind](limits) if kind in _SENTENCES else "is not valid here"
    return sentence if is_whole else f"has a value that {sentence}"


def _be(what: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda _: f"must be {what}"


def _have(limit: str, bound: str, one: str, many: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda limits: f"must have {bound} {limits[limit]} {one if limits[limit] == 1 else many}"


_SENTENCES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda _: "is missing",
    "none_required": _be("null"),
    **dict.fromkeys(("string_type", "string_unicode"), _be("a text")),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _be("a whole number")),
    **dict.fromkeys(("float_type", "float_parsing"), _be("a number")),
    "finite_number": _be("a finite number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), _be("true or false")),
    "list_type": _be("a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type", "mapping_type"), _be("an object")),
    **dict.fromkeys(("enum", "literal_error"), lambda limits: f"must be {limits['expected']}"),
    "string_too_short": _have("min_length", "at least", "character", "characters"),
    "string_too_long": _have("max_length", "at most", "character", "characters"),
    "too_short": _have("min_length", "at least", "entry", "entries"),
    "too_long": _have("max_length", "at most", "entry", "entries"),
    "greater_than": lambda limits: f"must be above {limits['gt']}",
    "greater_than_equal": lambda limits: f"must be at least {limits['ge']}",
    "less_than": lambda limits: f"must be below {limits['lt']}",
    "less_than_equal": lambda limits: f"must be at most {limits['le']}",
}
"""What is wrong, by pydantic's type of error: limits are those of the schema, so no sentence repeats a value."""
