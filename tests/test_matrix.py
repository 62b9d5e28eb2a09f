"""The parts of `make clients` that need no client: its lies, its environments, and the table in the documents."""

import re
from pathlib import Path

import pytest

from tests.matrix.__main__ import BEGIN, END, HEAD, table, written
from tests.matrix.environments import ENVIRONMENTS
from tests.matrix.wire import Body, more_tokens, one_less, other_order

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
ROW = {
    "library": "some-client",
    "version": "1.2",
    "call": "rank",
    "base": "url=URL",
    "route": "/rerank",
    "patched": "",
    "waits": True,
    "hides": False,
    "passed": 7,
    "tests": 8,
}
PINNED = [re.split("==|(?<=.)@", pin) for environment in ENVIRONMENTS for pin in (*environment.pins, *environment.npm)]
# They serve the row of another package.
WITHOUT_A_ROW = ("infinity-client", "ai")


def test_the_lies_change_what_they_name() -> None:
    asked: Body = {"query": "q", "documents": ["a", "b", "c"]}
    assert other_order(asked)["documents"] == ["c", "b", "a"]
    assert one_less(asked)["documents"] == ["a", "c"]
    assert other_order({"inputs": {"sentences": ["a", "b"]}}) == {"inputs": {"sentences": ["b", "a"]}}
    candidates = [{"id": "0", "text": "a"}, {"id": "1", "text": "b"}]
    assert other_order({"candidates": candidates})["candidates"] == [
        {"id": "0", "text": "b"},
        {"id": "1", "text": "a"},
    ]
    assert more_tokens({"usage": {"total_tokens": 3}, "data": [{"index": 0}]}) == {
        "usage": {"total_tokens": 4},
        "data": [{"index": 0}],
    }


@pytest.mark.parametrize(("library", "version"), PINNED)
def test_the_table_has_the_version_that_is_pinned(library: str, version: str) -> None:
    shown = PAGE.split(BEGIN)[1].split(END)[0]
    assert library in WITHOUT_A_ROW or f"| {library} {version} |" in shown


def test_every_client_passes_all_its_tests_in_the_table() -> None:
    counts = re.findall(r"\| (\d+)/(\d+) \|", PAGE.split(BEGIN)[1].split(END)[0])
    assert len(counts) > 40
    assert [each for each in counts if each[0] != each[1]] == []


def test_every_module_of_clients_has_an_environment() -> None:
    named = {module for environment in ENVIRONMENTS for module in environment.modules}
    assert named == {path.stem for path in (ROOT / "tests" / "matrix" / "clients").glob("*.py")}


def test_a_row_says_what_is_patched_and_what_a_client_does(tmp_path: Path) -> None:
    patched = {**ROW, "patched": "module.URL", "base": "none", "waits": False, "hides": True}
    page = tmp_path / "page.md"
    page.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n", encoding="utf-8")
    written(table([ROW, patched]), page)
    assert page.read_text(encoding="utf-8").splitlines() == [
        "above",
        BEGIN,
        "",
        f"| {' | '.join(HEAD)} |",
        "| --- | --- | --- | --- | --- | --- |",
        "| some-client 1.2 | rank | `url=URL` | `/rerank` | 7/8 | repeats a 503 |",
        "| some-client 1.2 | rank | none | `/rerank` | 7/8 | `module.URL` is patched; its error hides the reason |",
        "",
        END,
        "below",
    ]
