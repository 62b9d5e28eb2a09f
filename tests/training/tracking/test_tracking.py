"""Learning curves: files always, MLflow and TensorBoard by their real libraries where they are installed."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from training.errors import UserError
from training.tracking.curves import read_curves
from training.tracking.files import LOG
from training.tracking.tracker import Tracking, check_ends, open_curve, tracking

FACTS = {"recipe": "demo", "seed": "0"}


def installed(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"the extra {name} is not installed")


def train(folder: Path, first: int = 0, steps: int = 6, *, is_main: bool = True) -> None:
    """What the loop notes."""
    folder.mkdir(parents=True, exist_ok=True)
    with open_curve(folder, is_main=is_main) as curve:
        for step in range(first, steps):
            curve.note(
                step, {"loss": 1.0 / (step + 1), "seconds": 0.1, **({"valid": step / 10} if step % 3 == 2 else {})}
            )


def test_a_curve_is_a_line_a_step(tmp_path: Path) -> None:
    train(tmp_path / "teach")
    lines = [json.loads(line) for line in (tmp_path / "teach" / LOG).read_text().splitlines()]
    assert lines[0] == {"step": 0, "loss": 1.0, "seconds": 0.1}
    assert [line["step"] for line in lines] == list(range(6))
    assert lines[2]["valid"] == 0.2


def test_a_line_is_there_before_the_training_ends(tmp_path: Path) -> None:
    with open_curve(tmp_path, is_main=True) as curve:
        curve.note(0, {"loss": 2.0})
        assert json.loads((tmp_path / LOG).read_text()) == {"step": 0, "loss": 2.0}


def test_only_the_main_process_writes(tmp_path: Path) -> None:
    train(tmp_path / "teach", is_main=False)
    assert not (tmp_path / "teach" / LOG).exists()


def test_the_report_reads_what_was_noted_and_a_repeated_step_counts_last(tmp_path: Path) -> None:
    train(tmp_path / "teach" / "seed-0", steps=6)
    train(tmp_path / "teach" / "seed-0", first=4, steps=8)  # resumed from the checkpoint of step 4
    [found] = read_curves(tmp_path)
    assert (found.name, found.steps) == ("teach/seed-0", 8)
    assert found.losses[1] == (1, 0.5)
    assert found.valid == ((2, 0.2), (5, 0.5))


class Failing:
    def note(self, *_: object) -> None:
        raise ConnectionError

    close = note


def test_an_end_that_fails_is_left_out_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.tracking.tracker._opened", lambda *_: Failing())
    with tracking(Tracking(("mlflow",), tmp_path)):
        train(tmp_path / "teach")
    assert capsys.readouterr().err.count("mlflow takes no more numbers (ConnectionError); training goes on") == 1
    assert len((tmp_path / "teach" / LOG).read_text().splitlines()) == 6


@pytest.mark.parametrize(("end", "module"), [("mlflow", "mlflow"), ("tensorboard", "tensorboard.summary")])
def test_a_missing_library_is_one_sentence_before_training(
    monkeypatch: pytest.MonkeyPatch, end: Any, module: str
) -> None:
    missing: dict[str, ModuleType | None] = {module: None}
    for name, value in missing.items():
        monkeypatch.setitem(sys.modules, name, value)
    with pytest.raises(UserError, match=rf"--track {end}: .*not installed: pip install 'fitscore\[{end}\]'"):
        check_ends([end])


@installed("mlflow")
def test_mlflow_has_a_run_for_each_curve_and_a_resumed_one_goes_on_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ranking")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with tracking(Tracking(("mlflow",), tmp_path, FACTS)):
        train(tmp_path / "teach" / "seed-0", steps=4)
        train(tmp_path / "teach" / "seed-0", first=4, steps=6)
        train(tmp_path / "distill", steps=2)
    client = mlflow.MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("ranking").experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["distill", "teach/seed-0"]
    [teach] = [run for run in runs if run.info.run_name == "teach/seed-0"]
    assert teach.data.params == FACTS
    assert [each.step for each in client.get_metric_history(teach.info.run_id, "loss")] == list(range(6))
    assert client.get_metric_history(teach.info.run_id, "valid")[-1].value == 0.5


@installed("tensorboard")
def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tracking(Tracking(("tensorboard",), tmp_path, FACTS)):
        train(tmp_path / "teach" / "seed-0")
    events = EventAccumulator(str(tmp_path / "tensorboard" / "teach" / "seed-0"))
    events.Reload()
    found = {step: tensor for step, tensor in ((e.step, e) for e in events.Tensors("loss"))}
    assert sorted(found) == list(range(6))
    assert found[1].tensor_proto.float_val[0] == 0.5
