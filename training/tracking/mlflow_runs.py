"""Curves in MLflow: a run for each, in the experiment and on the server that MLflow's own variables name.

MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME; the package mlflow-skinny is enough.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from training.errors import UserError

RUN = "mlflow.txt"
"""The run's id beside the checkpoint: a resumed training goes on in it."""
AT_ONCE = 50
"""Steps that are sent together."""
EXPERIMENT = "fitscore"


class MlflowTracker:
    """Sends numbers of some steps at a time."""

    def __init__(self, folder: Path, name: str, facts: Mapping[str, str]) -> None:
        mlflow = import_mlflow()
        self._metric = mlflow.entities.Metric
        self._client = mlflow.MlflowClient()
        self._waiting: list[Any] = []
        kept = folder / RUN
        if not kept.exists():
            run = self._client.create_run(_experiment(mlflow, self._client), run_name=name)
            for fact, value in facts.items():
                self._client.log_param(run.info.run_id, fact, value[:500])
            kept.write_text(run.info.run_id, encoding="utf-8")
        self._run = kept.read_text(encoding="utf-8")

    def note(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        now = int(time.time() * 1000)
        self._waiting += [self._metric(name, float(value), now, step) for name, value in values.items()]
        if len(self._waiting) >= AT_ONCE * len(values):
            self._send()

    def close(self) -> None:
        """See `Tracker`."""
        self._send()
        self._client.set_terminated(self._run)

    def _send(self) -> None:
        if self._waiting:
            self._client.log_batch(self._run, metrics=self._waiting)
            self._waiting = []


def _experiment(mlflow: ModuleType, client: Any) -> str:  # noqa: ANN401
    name = mlflow.environment_variables.MLFLOW_EXPERIMENT_NAME.get() or EXPERIMENT
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def import_mlflow() -> ModuleType:
    """MLflow. Raises UserError if it is not installed."""
    try:
        import mlflow
        import mlflow.entities
    except ImportError as error:
        raise UserError("--track mlflow: mlflow is not installed: pip install 'fitscore[mlflow]'") from error
    module: ModuleType = mlflow
    return module
