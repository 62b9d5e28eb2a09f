"""Every look at a test is counted, and the count belongs to the test's content."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.held_out import GAINS, held_out
from training.evaluation.decision.looks import BadLooks, Look, record_looks


def test_each_look_appends_a_line_and_counts(tmp_path: Path) -> None:
    path = tmp_path / "results" / "looks.jsonl"
    for number in (1, 2, 3):
        assert record_looks(path, [held_out()], ["bm25"], "abc") == {"judged": Look(number, 0)}
    assert len(path.read_text().splitlines()) == 3


def test_another_content_is_another_test(tmp_path: Path) -> None:
    path = tmp_path / "looks.jsonl"
    record_looks(path, [held_out()], [], "")
    changed = held_out([[1 - gain for gain in each] for each in GAINS])
    assert record_looks(path, [changed], [], "") == {"judged": Look(1, 1)}


@pytest.mark.parametrize("text", ["{", "[]", '{"set": "judged"}'])
def test_a_record_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "looks.jsonl"
    path.write_text('{"set": "judged", "digest": "x"}\n' + text + "\n")
    with pytest.raises(BadLooks, match=r"looks\.jsonl: line 2: must be a JSON object"):
        record_looks(path, [held_out()], [], "")
