"""`python -m training report`: systems by path, from the repository alone; a look at the tests is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training.__main__ import main
from training.data.held_out import HeldOutSet
from training.data.lists import FieldList
from training.data.tables import DataError
from training.evaluation.systems.interface import System
from training.evaluation.systems.opening import NoSystem, score_by_fold
from training.evaluation.systems.stored import stored_system, write_scores
from training.policy.documents import POLICIES
from training.policy.parser import read_policy
from training.sources.held_out.judged import judged_jobs_set


@pytest.fixture(scope="module")
def judged() -> HeldOutSet:
    return judged_jobs_set(read_policy(POLICIES / "jobs.md"), "valid")


@pytest.fixture(scope="module")
def scores(judged: HeldOutSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that knows the gains, with noise."""
    lists = [each.list for each in judged.lists]
    random = np.random.default_rng(0)
    gains = {
        head: np.array([gain for each in lists for gain in each.labels[head]], dtype=np.float64)
        for head in ("overall", "skills")
    }
    noisy = {head: np.clip(found + random.normal(0, 0.1, len(found)), 0, 1) for head, found in gains.items()}
    path = tmp_path_factory.mktemp("scores") / "student.parquet"
    write_scores(path, lists, noisy)
    return path


def run(folder: Path, *more: str) -> tuple[int, dict[str, object]]:
    places = ["--data", str(folder / "no-sources"), "--runs", str(folder / "runs")]
    code = main(["report", "jobs", *places, "--live", "none", "--sets", "judged", *more])
    path = folder / "runs" / "jobs" / "report" / "decision.json"
    return code, json.loads(path.read_text()) if path.exists() else {}


def test_a_file_of_scores_is_a_system_and_needs_nothing_but_the_repository(
    tmp_path: Path, scores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = run(tmp_path, "--student", str(scores), str(scores))
    assert code == 0
    assert "3 of 3 gates pass; only the test split decides" in capsys.readouterr().out
    assert [each["name"] for each in found["systems"]] == [  # type: ignore[attr-defined]
        "random",
        "bm25",
        "cosine",
        "student",
    ]
    assert found["split"] == "valid"
    assert not (tmp_path / "runs" / "jobs" / "report-looks.jsonl").exists()


def test_a_look_at_the_tests_is_counted_beside_the_report(tmp_path: Path) -> None:
    for number in (1, 2):
        code, found = run(tmp_path, "--split", "test")
        assert code == 0
        assert found["sets"][0]["look"] == {"number": number, "in_another_form": 0}  # type: ignore[index]
    rows = (tmp_path / "runs" / "jobs" / "report-looks.jsonl").read_text().splitlines()
    assert [json.loads(row)["set"] for row in rows] == ["judged", "judged"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--student", "nothing/here"], "nothing/here: no bundle (manifest.json), no teacher"),
        (["--student", "fold-{fold}"], "recipe 'jobs' has no folds for cross-fitted models"),
        (["--sets", "judged", "none"], "--sets none: there is no such held-out set; there are: judged"),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, *arguments)[0] == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.drop("overall"), "column 'overall' is missing"),
        (lambda t: t.with_columns(skills=pl.lit(1.5)), "row 0, column 'skills': an expected grade / 4 must be"),
        (lambda t: pl.concat([t, t[:1]]), "column 'place': this candidate has a score already"),
        (lambda t: t.with_columns(list_id=pl.lit(" ")), "row 0, column 'list_id': empty"),
    ],
)
def test_a_bad_file_of_scores_is_named(
    tmp_path: Path, scores: Path, change: Callable[[pl.DataFrame], pl.DataFrame], sentence: str
) -> None:
    path = tmp_path / "bad.parquet"
    change(pl.read_parquet(scores)).write_parquet(path)
    with pytest.raises(DataError) as caught:
        stored_system(path, "student", "student")
    assert sentence in str(caught.value)


def test_each_list_is_scored_by_the_model_that_has_not_seen_its_fold() -> None:
    lists = [FieldList(f"l{n}", "s", "test", {"query": str(n)}, [{"title": "a"}, {"title": "b"}], {}) for n in range(7)]
    parts = [
        System("m", "student", lambda asked, fold=fold: {"overall": np.full(2 * len(asked), float(fold))})  # type: ignore[misc]
        for fold in range(3)
    ]
    found = score_by_fold(lists, parts, lambda member: int(str(member["query"])) % 3)
    assert found["overall"].tolist() == [float(n % 3) for n in range(7) for _ in range(2)]
    with pytest.raises(NoSystem, match="fold 2 has no model"):
        score_by_fold(lists, parts[:2], lambda member: int(str(member["query"])) % 3)
