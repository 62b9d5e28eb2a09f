"""The same values give the same text by every door: the service's request, a table to encode, lists and grades."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.errors import FieldError
from models.template import FieldFormat, Template
from service.http.schemas import Candidate
from training.data.lists import FieldList, render_lists
from training.data.tables import DataError
from training.judging.golden_set import GradedPair, HumanGrade, HumanGrades, make_golden
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.steps.bulk_encode import WHOLE, _shards

TEMPLATE = Template(member=(FieldFormat(name="headline"),), candidate=(FieldFormat(name="title"),))
POLICY = read_policy(POLICIES / "demo.md")
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ODD = st.one_of(
    WORDS,
    st.sampled_from(["None", "nan", "0", " ", "\u200b", "\ufeff", "2026-01-02", "a|b", '{"w": 1}', "['a']"]),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.lists(WORDS, max_size=3),
    st.fixed_dictionaries({"w": st.integers(0, 9)}),
)


def by_lists(value: Any) -> str:
    lists = [FieldList("l", "s", "train", {"headline": "m"}, [{"title": "t", "odd": value}], {})]
    return str(render_lists(lists, TEMPLATE, ())["candidate"][0])


def by_grades(value: Any, folder: Path) -> str:
    pair = GradedPair("m", "c", {"headline": "m"}, {"title": "t", "odd": value})
    grade = HumanGrade("m", "c", "role", "ann", 1)
    make_golden(HumanGrades("tool", [pair], [grade], ("ann",), "All."), POLICY, TEMPLATE, folder)
    return str(pl.read_parquet(folder / "golden.parquet")["candidate"][0])


def by_table(value: Any, folder: Path) -> str:
    path = folder / "table.parquet"
    pl.DataFrame({"id": ["c"], "fields": [{"title": "t", "odd": value}]}).write_parquet(path)
    ((text,),) = list(_shards(path, TEMPLATE, WHOLE))
    return text


def by_service(value: Any) -> str:
    """Raises ValidationError."""
    body = json.dumps({"id": "c", "fields": {"title": "t", "odd": value}})
    fields = Candidate.model_validate_json(body).fields
    return TEMPLATE.render_candidate(fields)


@settings(max_examples=150, deadline=None)
@given(value=ODD)
def test_what_serving_renders_is_rendered_alike_offline_and_the_rest_is_refused(
    value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("door")
    try:
        wanted = by_service(value)
    except (ValidationError, FieldError):
        for door in (by_lists, lambda each: by_grades(each, folder), lambda each: by_table(each, folder)):
            with pytest.raises(DataError, match="odd"):
                door(value)
        return
    assert [by_lists(value), by_grades(value, folder), by_table(value, folder)] == [wanted] * 3


def test_a_null_in_a_list_of_a_table_is_skipped(tmp_path: Path) -> None:
    assert by_table(["led", None, "dimmable"], tmp_path) == "t. odd: led, dimmable"


def test_a_short_float_is_written_as_json_writers_write_it(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    fields = pl.DataFrame({"width": [0.1, None]}, schema={"width": pl.Float32}).select(
        pl.struct("width").alias("fields")
    )
    fields.with_columns(id=pl.lit("c")).write_parquet(path)
    assert list(_shards(path, TEMPLATE, WHOLE)) == [["width: 0.1", ""]]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"text": [1, 2]}, "column 'text': must hold texts; it holds Int64"),
        ({"fields": ['{"title": "t"}', None]}, "column 'fields': must hold structs"),
        ({"text": ["a", None], "fields": [None, {"w": math.nan}]}, "row 1, column 'fields': field 'w' is not a finite"),
        ({"text": ["a", "b"], "fields": [None, {"w": 1}]}, "row 1, column 'fields': the row has a text too"),
        ({"fields": [{"w": True}, {"w": False}]}, "row 0, column 'fields': field 'w' is true or false"),
        ({"fields": [{"w": {"x": 1}}, None]}, "row 0, column 'fields': field 'w' is an object"),
    ],
)
def test_a_table_that_serving_would_not_render_is_refused_by_row_and_column(
    columns: dict[str, list[Any]], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "table.parquet"
    pl.DataFrame({"id": ["a", "b"], **columns}).write_parquet(path)
    with pytest.raises(DataError, match=words):
        list(_shards(path, TEMPLATE, WHOLE))


def test_fields_are_read_where_a_row_has_no_text(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    columns = {"id": ["a", "b", "c"], "text": ["x", None, None], "fields": [None, {"title": "t"}, None]}
    pl.DataFrame(columns).write_parquet(path)
    assert list(_shards(path, TEMPLATE, WHOLE)) == [["x", "t", ""]]
