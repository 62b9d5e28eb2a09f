"""How long a list takes is measured once, for systems that compute anything; curves are read as trainings note them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tests.support.held_out import held_out, system
from training.data.tables import DataError
from training.evaluation.decision.costs import TIMED, latency
from training.tracking.curves import POINTS, read_curves


def test_one_list_after_another_is_timed_once(tmp_path: Path) -> None:
    asked: list[int] = []

    def score(lists: list[object]) -> dict[str, object]:
        asked.append(len(lists))
        return {}

    timed = dataclasses.replace(system("student", 0.1), identity="weights", score=score)  # type: ignore[arg-type]
    found = latency(timed, held_out(), tmp_path)
    assert found is not None
    assert asked == [1] * (TIMED + 1)  # the first warms up
    assert (found.lists, found.candidates) == (TIMED, 6)
    assert 0 <= found.middle <= found.worst
    assert latency(timed, held_out(), tmp_path) == found
    assert len(asked) == TIMED + 1


def test_stored_scores_have_no_latency() -> None:
    assert latency(system("student", 0.1), held_out(), None) is None


def note(folder: Path, name: str, rows: list[dict[str, object]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_a_curve_has_the_losses_and_the_measures_of_a_training(tmp_path: Path) -> None:
    note(tmp_path / "teach", "log.jsonl", [{"step": n, "loss": float(n)} for n in range(4 * POINTS)])
    note(tmp_path / "distill", "log.jsonl", [{"step": 0, "loss": 9.0}])
    note(tmp_path / "distill", "curves.jsonl", [{"step": 0, "loss": 2.0, "valid": 0.5}, {"step": 0, "loss": 1.0}])
    distill, teach = read_curves(tmp_path)
    assert (distill.name, distill.losses, distill.valid) == ("distill", ((0, 1.0),), ((0, 0.5),))
    assert (teach.steps, len(teach.losses)) == (4 * POINTS, POINTS)
    assert teach.losses[0] == (3, 1.5)


def test_a_line_that_is_no_step_is_named(tmp_path: Path) -> None:
    note(tmp_path / "teach", "log.jsonl", [{"step": 0, "loss": 1.0}, {"loss": 1.0}])
    with pytest.raises(DataError, match=r"log\.jsonl: line 2: must be an object with a whole number in 'step'"):
        list(read_curves(tmp_path))
