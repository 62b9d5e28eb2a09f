"""The command line: a mistake of the user is one sentence, a bug keeps its traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

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
