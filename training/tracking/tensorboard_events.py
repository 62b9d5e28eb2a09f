"""Curves as TensorBoard's event files. The package tensorboard alone writes them; TensorFlow is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.errors import UserError


class TensorBoardTracker:
    """One folder of event files a curve; a resumed training adds a file."""

    def __init__(self, folder: Path, facts: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = import_writer()(str(folder))
        (folder / "facts.txt").write_text("".join(f"{name}: {value}\n" for name, value in facts.items()), "utf-8")

    def note(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        for name, value in values.items():
            self._writer.add_scalar(name, float(value), step)

    def close(self) -> None:
        """See `Tracker`."""
        self._writer.close()


def import_writer() -> Any:  # noqa: ANN401  the package has no types
    """TensorBoard's writer. Raises UserError if it is not installed."""
    try:
        from tensorboard.summary import Writer
    except ImportError as error:
        raise UserError("--track tensorboard: not installed: pip install 'fitscore[tensorboard]'") from error
    return Writer
