"""The command line: a mistake of the user is one sentence, a bug keeps its traceback."""

from __future__ import annotations

import errno
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from training import __main__ as command
from training.__main__ import main
from training.data.tables import DataError
from training.policy.markdown import DocumentError


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(command, "run_step", fail)


@pytest.mark.parametrize(
    "error", [DataError("grades.csv: row 3, column 'grade': empty"), DocumentError("policy.md", 3, "no weight")]
)
def test_a_users_mistake_is_one_sentence(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(error, monkeypatch)
    assert main(["policy", "demo"]) == 1
    assert capsys.readouterr().err == f"policy demo: {error}\n"


@pytest.mark.parametrize("error", [KeyError("relevance_logit"), ValueError("no"), FileNotFoundError("some.csv")])
def test_a_bug_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(error, monkeypatch)
    with pytest.raises(type(error)):
        main(["policy", "demo"])


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a"),
            "runs/a: No space left on device: free some space",
        ),
        (OSError(errno.EROFS, "Read-only file system", "runs"), "runs: Read-only file system: name a folder"),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), "runs: Permission denied: change the permissions"),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "a.csv/b"),
            "a.csv/b: Not a directory: a part of the path",
        ),
        (
            RuntimeError('Error while serializing: IoError(Os { code: 28, message: "No space left on device" })'),
            "space",
        ),
        (RuntimeError("PytorchStreamWriter failed writing file data/0"), "No space left on device"),
        (sqlite3.OperationalError("database or disk is full"), "No space left on device"),
        (pl.exceptions.ComputeError("Permission denied (os error 13): pairs.parquet"), "Permission denied"),
        (caused(ValueError("not saved"), OSError(errno.ENOSPC, "No space left on device")), "No space left on device"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_what_surrounds_a_run_is_named_in_one_sentence(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(error, monkeypatch)
    assert main(["policy", "demo"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("policy demo: ")
    assert words in line


def test_a_stopped_run_says_how_it_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_step", stop)
    assert main(["policy", "demo"]) == 130
    assert capsys.readouterr().err == "policy demo: stopped; the same command goes on where it was\n"


def test_a_folder_for_runs_that_is_a_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs").write_text("a file")
    assert main(["policy", "demo", "--runs", str(tmp_path / "runs")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path}/runs/demo" in line


def test_missing_sources_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "products", "--data", str(tmp_path / "nowhere"), "--runs", str(tmp_path)]
    assert main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "does not exist: see the sources of the recipe, and --data" in line


def test_a_result_is_accepted_by_step_and_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["policy", "demo", "--runs", str(tmp_path)]
    assert main(words) == 0
    record = tmp_path / "demo" / "policy" / "step.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "code": "of before"}))
    assert main([*words, "--accept", "policy", "only a name changed"]) == 0
    assert "policy: kept, although changed: code (only a name changed)" in capsys.readouterr().err
    assert json.loads(record.read_text())["accepted"] == [{"reason": "only a name changed", "changed": ["code"]}]


def test_a_reason_for_a_step_that_does_not_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "demo", "--accept", "teach", "no grade changed"]) == 1
    assert "--accept names teach, which is no step of this run" in capsys.readouterr().err


@pytest.mark.process
def test_a_step_without_models_imports_no_torch(tmp_path: Path) -> None:
    script = (
        "import sys; from training.__main__ import main;"
        f" code = main(['policy', 'demo', '--runs', {str(tmp_path)!r}]); sys.exit(code or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2]).returncode == 0
