"""What the columns of a product's tables mean: sides as texts or fields, ids, whole numbers, words. Knows no formats.

member            a text, or member.FIELD ...      the same for candidate
member_id         without it, an id follows from the content: equal contents are one member
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from models.errors import DataError, FieldError
from models.tables.table import Table, shown
from models.template import Content, Template

Side = Literal["member", "candidate"]
_WHOLE = re.compile(r"\s*[+-]?\d{1,15}(\.0*)?\s*")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*")
# Refuses what has no text, as every template does.
_ANY = Template(member=(), candidate=())


def fields_of(table: Table, side: Side) -> list[str]:
    """Names of a side's fields, in the order of the file; empty where the side is one text. Raises DataError."""
    prefix = f"{side}."
    fields = [name.removeprefix(prefix) for name in table.columns if name.startswith(prefix)]
    if fields and side in table.columns:
        raise DataError(f"{table.name}: has a column {side!r} and {prefix}{fields[0]} too: keep the text or the fields")
    if not all(fields):
        raise DataError(f"{table.name}: column {prefix!r}: has no field's name after the dot: give it one")
    return fields


def has_side(table: Table, side: Side) -> bool:
    return side in table.columns or any(name.startswith(f"{side}.") for name in table.columns)


def need(table: Table, found: bool, wanted: str, similar: str) -> None:
    """Raise DataError unless `found`, with the columns of the file and how to map one of them."""
    if found:
        return
    near = difflib.get_close_matches(similar, table.columns, n=1)
    example = f"--map {near[0] if near else 'THEIRS'}={similar}"
    raise DataError(f"{table.name}: {wanted}; it has {', '.join(table.columns)}: name it with {example}")


def contents(table: Table, side: Side) -> Iterator[Content]:
    """What the service would be sent of a side, row by row. Raises DataError for what it would not render."""
    fields = fields_of(table, side)
    columns = [side] if not fields else [f"{side}.{name}" for name in fields]
    for row, values in enumerate(zip(*(table.values(name) for name in columns), strict=True)):
        for column, value in zip(columns, values, strict=True):
            _check_value(table, row, column, value)
        if fields:
            content: Content = {name: value for name, value in zip(fields, values, strict=True) if value is not None}
        else:
            if values[0] is not None and not isinstance(values[0], str):
                raise table.error(row, side, f"{shown(values[0])} is not a text: write one, or use {side}.FIELD")
            content = values[0] or ""
        if not _ANY.render_member(content):
            name = columns[0] if len(columns) == 1 else f"{side}.*"
            raise table.error(row, name, f"the {side} has no text: fill a cell, or delete the row")
        yield content


def _check_value(table: Table, row: int, column: str, value: object) -> None:
    try:
        _ANY.render_member({column: value})
    except FieldError as error:
        raise table.error(row, column, error.problem) from None
    texts = value if isinstance(value, list) else [value]
    if any(isinstance(each, str) and not each.isascii() and not _is_unicode(each) for each in texts):
        raise table.error(row, column, "half of a surrogate pair is no character: write the whole one")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def ids(table: Table, column: str, sides: Sequence[Content] | None) -> Iterator[str]:
    """Ids of each row: of the column, or of the contents where there is no such column. Raises DataError."""
    if column not in table.columns:
        yield from (content_id(each) for each in sides or ())
        return
    for row, value in enumerate(table.values(column)):
        text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
        if not text:
            what = (
                "is empty" if value is None or value == "" else f"{shown(value)} is neither a text nor a whole number"
            )
            raise table.error(row, column, f"{what}: give each row its id")
        if len(text) > 256 or (not text.isascii() and not _is_unicode(text)):
            raise table.error(row, column, f"{shown(text)} is no id: ids are texts of 1 to 256 characters")
        yield text


def content_id(content: Content) -> str:
    """An id that follows from the content alone."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=dict).encode()).hexdigest()[:16]


def whole_numbers(table: Table, column: str, allowed: range, meaning: str) -> Iterator[int | None]:
    """Whole numbers of a column; None for an empty cell. Raises DataError for any other value."""
    for row, value in enumerate(table.values(column)):
        number = as_number(value, whole=True)
        is_empty = value is None or (isinstance(value, str) and not value.strip())
        if not is_empty and (number is None or int(number) not in allowed):
            last = "" if allowed.stop > 10**9 else f" to {allowed.stop - 1}"
            sentence = f"{shown(value)} is no {meaning}: a whole number from {allowed.start}{last} is wanted"
            raise table.error(row, column, sentence)
        yield None if number is None else int(number)


def as_number(value: object, *, whole: bool = False) -> float | None:
    """The finite number that a value is or that a text states; None for anything else."""
    if isinstance(value, str):
        value = float(value) if (_WHOLE if whole else _NUMBER).fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return None if whole and value != int(value) else float(value)


def words(table: Table, column: str, allowed: Iterable[str] = ()) -> Iterator[str]:
    """Texts of a column without white space around them, "" for an empty cell. Raises DataError for any other word."""
    known = tuple(allowed)
    for row, value in enumerate(table.values(column)):
        text = "" if value is None else str(value).strip()
        if text and known and text not in known:
            raise table.error(row, column, f"{shown(text)} is none of {', '.join(known)}: write one of them")
        yield text
