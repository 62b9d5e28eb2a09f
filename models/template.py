"""The fields of a member or a candidate become one text. Training, grades, bulk encoding and serving share this code.

Knows no tokens; importing it needs neither numpy nor a tokenizer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict

from models.errors import FieldError

FieldValue = str | Sequence[str | int | float | None] | int | float | None
Fields = Mapping[str, FieldValue]
Content = str | Fields
"""A member or a candidate: a text that is already rendered, or fields."""

NO_NAME = ""
"""The name of a value that is a text of its own: it is rendered without a name before it."""

Layout = Literal["pair", "texts"]
"""Where the special tokens of a pair are.

pair:  [CLS] member [SEP] candidate [SEP], as cross-encoders are commonly trained.
texts: [CLS] member [SEP] [CLS] candidate [SEP], each side as a sentence encoder reads it alone. Such a backbone
       was pretrained with [CLS] before each text; a short candidate without it would be new to the backbone.
"""


class FieldFormat(BaseModel):
    """A field that a template names; with a label it is rendered as "label: value"."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    label: str = ""


class Template(BaseModel):
    """How the fields of a member and of a candidate become one text each.

    Fields come in the template's order. Fields that it does not name follow as "name: value", sorted by name, so that
    nothing that a caller sends is lost. Empty values and nulls are skipped, also in a list. White space is collapsed.

    A value is a text, a finite number, or a list of those. Any other raises FieldError, whichever way it came in: its
    text would depend on the library that read it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    member: tuple[FieldFormat, ...]
    candidate: tuple[FieldFormat, ...]

    def render_member(self, content: str | Mapping[str, object] | None) -> str:
        """The member's text; empty without content, and when no field has a value. Raises FieldError."""
        return _render(self._member_labels, content)

    def render_candidate(self, content: str | Mapping[str, object] | None) -> str:
        """The candidate's text; empty without content, and when no field has a value. Raises FieldError."""
        return _render(self._candidate_labels, content)

    @cached_property
    def member_names(self) -> frozenset[str]:
        """The fields of a member that the model was trained with."""
        return frozenset(self._member_labels)

    @cached_property
    def candidate_names(self) -> frozenset[str]:
        """The fields of a candidate that the model was trained with."""
        return frozenset(self._candidate_labels)

    # Cached: thousands of candidates a second are rendered.
    @cached_property
    def _member_labels(self) -> dict[str, str]:
        return {each.name: each.label for each in self.member}

    @cached_property
    def _candidate_labels(self) -> dict[str, str]:
        return {each.name: each.label for each in self.candidate}


def _render(labels: Mapping[str, str], content: str | Mapping[str, object] | None) -> str:
    if isinstance(content, str):
        return content.strip()
    fields = content or {}
    parts = [_labelled(name, label, fields[name]) for name, label in labels.items() if name in fields]
    parts += [_labelled(name, name, fields[name]) for name in sorted(fields.keys() - labels.keys())]
    return ". ".join(filter(None, parts))


def _labelled(name: str, label: str, value: object) -> str:
    if isinstance(value, list):
        text = ", ".join(filter(None, [_plain(name, each) for each in value]))
    else:
        text = _plain(name, value)
    return f"{label}: {text}" if label and text else text


def _plain(name: str, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        value = str(_number(name, value))
    return collapsed(value).rstrip(" .,;")


def _number(name: str, value: object) -> int | float:
    """The value, if it is a number that JSON can hold. Raises FieldError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        kind = _KINDS.get(type(value), f"a {type(value).__name__}")
        raise FieldError(name, f"is {kind}: a text, a number or a list of them is wanted")
    if not math.isfinite(value):
        raise FieldError(name, "is not a finite number")
    return value


_KINDS = {bool: "true or false", dict: "an object", list: "a list in a list", bytes: "bytes"}


def collapsed(text: str) -> str:
    """The text with one space for each run of white space, and none at its ends."""
    # Most texts need no change, and this test takes a seventh of the time: the space is the only printable white space.
    if text.isprintable() and "  " not in text:
        return text.strip()
    return " ".join(text.split())
