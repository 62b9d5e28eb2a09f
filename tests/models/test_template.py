"""One renderer for fields: a value has one text, or FieldError names its field."""

from __future__ import annotations

import datetime
import decimal
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import FieldError
from models.template import FieldFormat, Template, collapsed

TEMPLATE = Template(member=(FieldFormat(name="about"),), candidate=(FieldFormat(name="size", label="size"),))
SCALARS = st.one_of(st.none(), st.text(max_size=12), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=4))
WITHOUT_A_TEXT: tuple[Any, ...] = (
    True,
    False,
    math.nan,
    math.inf,
    -math.inf,
    {"w": 1},
    {},
    [["nested"]],
    [True],
    [math.nan],
    [{"w": 1}],
    b"bytes",
    datetime.date(2026, 1, 2),
    datetime.datetime(2026, 1, 2),
    datetime.timedelta(1),
    decimal.Decimal("1.5"),
    ("a", "tuple"),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "size: 0"),
        (0.0, "size: 0.0"),
        (-3, "size: -3"),
        (1e300, "size: 1e+300"),
        ("0", "size: 0"),
        (["led", None, "dimmable"], "size: led, dimmable"),
        ([1, 2.5, "x"], "size: 1, 2.5, x"),
        (None, ""),
        ([], ""),
        ([None], ""),
        ("  \n", ""),
        ("None", "size: None"),
    ],
)
def test_a_value_has_one_text(value: Any, text: str) -> None:
    assert TEMPLATE.render_candidate({"size": value}) == text


@pytest.mark.parametrize("value", WITHOUT_A_TEXT, ids=repr)
@pytest.mark.parametrize("name", ["size", "a field of the caller"])
def test_any_other_value_is_an_error_that_names_its_field(name: str, value: Any) -> None:
    with pytest.raises(FieldError, match=f"field '{name}' is ") as caught:
        TEMPLATE.render_candidate({name: value})
    assert caught.value.field == name


@given(name=st.sampled_from(["size", "other"]), value=VALUES)
def test_no_value_becomes_the_text_of_a_missing_one(name: str, value: Any) -> None:
    parts = value if isinstance(value, list) else [value]
    expected = [collapsed(str(each)).rstrip(" .,;") for each in parts if each is not None]
    text = ", ".join(filter(None, expected))
    assert TEMPLATE.render_candidate({name: value}) == (f"{name}: {text}" if text else "")


@given(fields=st.dictionaries(st.sampled_from(["size", "a", "b"]), VALUES))
def test_a_null_is_as_if_the_field_was_not_there(fields: dict[str, Any]) -> None:
    without = {name: value for name, value in fields.items() if value is not None}
    assert TEMPLATE.render_candidate(fields) == TEMPLATE.render_candidate(without)
    assert TEMPLATE.render_member(fields) == TEMPLATE.render_member(without)
