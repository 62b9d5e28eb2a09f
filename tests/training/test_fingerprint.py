"""Fingerprints: what code can reach counts, comments and docstrings do not, and what cannot be followed is an error."""

from __future__ import annotations

import functools
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from training import fingerprint
from training.fingerprint import code_digest, describe, reached, read_module
from training.policy.documents import POLICIES
from training.recipes import demo, find_recipe
from training.steps.annotate import annotate

FILES = {
    "work.py": '''
        """Where it starts."""
        from planted import shapes
        from planted.helpers import helped as renamed

        LIMIT = 3


        def start(value):
            """Add up."""
            from planted.late import late

            return renamed(value) + late() + shapes.Shape(LIMIT).area()


        def unused():
            return 0
    ''',
    "helpers.py": """
        import math

        FACTOR = 2


        def helped(value):
            # twice
            return FACTOR * _inner(value)


        def _inner(value):
            return math.floor(value)


        def other():
            return 1
    """,
    "late.py": """
        from functools import singledispatch


        @singledispatch
        def late(value=0):
            return 1


        @late.register
        def _(value: str):
            return 3
    """,
    "shapes.py": '''
        class Shape:
            """A square."""

            side: int
            """Of each side."""

            def __init__(self, side):
                self.side = side

            def area(self):
                return self.side**2
    ''',
}


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Digests `planted.work.start` after texts in its files were replaced."""
    folder = tmp_path / "planted"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for name, source in FILES.items():
        lines = source.splitlines()
        (folder / name).write_text("\n".join(line.removeprefix(" " * 8) for line in lines))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(fingerprint, "OURS", {"planted"})
    start = importlib.import_module("planted.work").start

    def work(file: str = "work.py", old: str = "", new: str = "") -> str:
        read_module.cache_clear()
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new) if old else text)
        return code_digest(start)

    yield work
    read_module.cache_clear()
    for name in [*sys.modules]:
        if name.split(".")[0] == "planted":
            del sys.modules[name]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("work.py", "LIMIT = 3", "LIMIT = 4"),
        ("helpers.py", "return FACTOR *", "return 1 + FACTOR *"),
        ("helpers.py", "math.floor", "math.ceil"),
        ("helpers.py", "FACTOR = 2", "FACTOR = 3"),
        ("late.py", "return 1", "return 2"),
        ("late.py", "return 3", "return 4"),
        ("shapes.py", "self.side**2", "self.side**3"),
        ("shapes.py", "side: int\n", "side: float\n"),
        ("helpers.py", "FACTOR = 2", "FACTOR = 2\nprint('on import')"),
    ],
)
def test_changed_code_counts_however_it_is_reached(planted: Callable[..., str], file: str, old: str, new: str) -> None:
    before = planted()
    assert planted(file, old, new) != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("work.py", '"""Add up."""', '"""Add all of it up."""'),
        ("work.py", '"""Where it starts."""', '"""The start."""'),
        ("helpers.py", "# twice", "# two times"),
        ("shapes.py", '"""A square."""', ""),
        ("shapes.py", '"""Of each side."""', '"""In metres."""'),
        ("helpers.py", "_inner(value)\n\n", "_inner(\n        value\n    )\n\n"),
        ("work.py", "return 0", "return 5"),
        ("helpers.py", "def other():\n    return 1", "def other():\n    return 2"),
    ],
)
def test_comments_docstrings_layout_and_unreached_code_do_not_count(
    planted: Callable[..., str], file: str, old: str, new: str
) -> None:
    before = planted()
    assert planted(file, old, new) == before


def test_a_file_beside_a_module_counts(planted: Callable[..., str], tmp_path: Path) -> None:
    before = planted()
    (tmp_path / "planted" / "helpers.html.j2").write_text("<p>")
    assert planted() != before


def test_a_name_that_cannot_be_followed_is_an_error(planted: Callable[..., str]) -> None:
    with pytest.raises(NameError, match=r"planted\.helpers does not define helped"):
        planted("helpers.py", "def helped", "def renamed")


def test_a_step_reaches_the_code_of_other_rooms() -> None:
    code = reached(annotate)
    assert {"training.data.soft_labels:shard_bytes", "training.nets.inference:predict", "models.text:TextEncoder"} <= {
        *code
    }
    assert not any(key.startswith("torch") for key in code)


def test_an_adapter_reaches_the_code_that_makes_its_lists() -> None:
    assert "training.sources.market:relevance" in reached(demo.lists)


def some_lists(count: int) -> Callable[[], int]:
    return lambda: count


def test_a_function_in_a_plan_counts_by_its_code_and_by_what_it_holds() -> None:
    assert describe(some_lists(1)) == describe(some_lists(1))
    assert describe(some_lists(1)) != describe(some_lists(2))
    assert describe(functools.partial(some_lists, 1)) != describe(functools.partial(some_lists, 2))
    assert describe(some_lists(1)) != describe(lambda: 1)


def test_two_functions_within_a_function_count_as_two() -> None:
    def one() -> int:
        return 1

    def two() -> int:
        return 2

    assert describe(one) != describe(two)


BY_NAME = {"one": lambda: 1}


def test_a_lambda_outside_of_functions_counts_by_its_whole_module() -> None:
    assert f"{__name__}:*" in reached(BY_NAME["one"])


@pytest.mark.parametrize("value", [object(), json.dumps, len, {"key": open}])
def test_a_plan_cannot_hold_what_has_no_description(value: Any) -> None:
    with pytest.raises(TypeError, match="a plan cannot hold"):
        describe(value)


def test_a_whole_recipe_can_be_described() -> None:
    described = json.dumps(describe(find_recipe("jobs-7b")))
    assert described == json.dumps(describe(find_recipe("jobs-7b")))
    assert str(POLICIES) not in described
