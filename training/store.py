"""A trained model on disk: a Hugging Face folder plus `calibration.json`. Tokenizer settings stay with the recipe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from models.bundle import Calibration
from training.cross_encoder import CrossEncoder, load_cross_encoder, save_cross_encoder


def save_model(folder: Path, model: CrossEncoder, calibrations: dict[str, Calibration]) -> None:
    """Write the model to `folder/model` and its calibration beside it."""
    save_cross_encoder(model, folder / "model")
    dumped = {head: calibration.model_dump() for head, calibration in calibrations.items()}
    (folder / "calibration.json").write_text(json.dumps(dumped, indent=2) + "\n", encoding="utf-8")


def load_model(folder: Path) -> tuple[CrossEncoder, dict[str, Calibration]]:
    """Read back what `save_model` wrote."""
    dumped = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
    calibrations = {head: Calibration.model_validate(values) for head, values in dumped.items()}
    return load_cross_encoder(folder / "model"), calibrations


def made_once(folder: Path, make: Callable[[], CrossEncoder]) -> CrossEncoder:
    """The model that stands in `folder`; `make` makes it when none does."""
    if not folder.exists():
        save_cross_encoder(make(), folder)
    return load_cross_encoder(folder)
