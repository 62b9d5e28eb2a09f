"""A trained model on disk: a Hugging Face folder, what was added to it, calibration, and its policy.

Tokenizer settings stay with the recipe.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save_file

from models.heads import Calibration
from models.text import TextEncoder
from training.nets.cross_encoder import CrossEncoder, load_cross_encoder, new_cross_encoder, save_cross_encoder
from training.nets.interfaces import PairEncoder
from training.nets.llm_teacher import Decoder, is_decoder, load_decoder, save_decoder
from training.nets.shapes import SplitShape
from training.nets.split_student import SplitStudent, new_split_student
from training.policy.policy import Policy, PolicyMismatch, check_stamp
from training.trainer.distributed import SINGLE_PROCESS, ProcessGroup

Calibrations = dict[str, Calibration]
Student = CrossEncoder | SplitStudent
"""What `distill` makes, either kind."""
FlatTeacher = CrossEncoder | Decoder
"""What `teach` makes of grades, either kind."""


def save_model(
    folder: Path, model: Student | Decoder, calibrations: Calibrations, team: ProcessGroup = SINGLE_PROCESS
) -> None:
    """Write the model to `folder/model` and its calibration beside it. Every process of the team must call it."""
    if isinstance(model, Decoder):
        save_decoder(model, folder / "model", is_main=team.is_main)
    if not team.is_main:
        return
    if isinstance(model, SplitStudent):
        _save_split(model, folder / "model")
    elif isinstance(model, CrossEncoder):
        save_cross_encoder(model, folder / "model")
    dumped = {head: calibration.model_dump() for head, calibration in calibrations.items()}
    (folder / "calibration.json").write_text(json.dumps(dumped, indent=2) + "\n", encoding="utf-8")


def load_model(folder: Path) -> tuple[CrossEncoder, Calibrations]:
    """Read back a flat model that `save_model` wrote."""
    return load_cross_encoder(folder / "model"), read_calibrations(folder)


def load_teacher(folder: Path) -> tuple[FlatTeacher, Calibrations]:
    """Read back a teacher of either kind."""
    model = load_decoder(folder / "model") if is_decoder(folder / "model") else load_cross_encoder(folder / "model")
    return model, read_calibrations(folder)


def own_encoder(model: FlatTeacher, encoder: TextEncoder) -> PairEncoder:
    """What encodes the pairs of a teacher: a decoder brings its own, and all others share the recipe's `encoder`."""
    return model.encoder if isinstance(model, Decoder) else encoder


def encoder_folder(teacher: Path) -> Path:
    """Where the small encoder stands that a student starts from: the teacher, or what was taught beside a decoder."""
    return teacher / "sides" / "model" if is_decoder(teacher / "model") else teacher / "model"


def load_student(folder: Path) -> tuple[Student, Calibrations]:
    """Read back a student of either kind."""
    is_split = (folder / "model" / "shape.json").exists()
    model = _load_split(folder / "model") if is_split else load_cross_encoder(folder / "model")
    return model, read_calibrations(folder)


def write_stamp(folder: Path, policy: Policy) -> None:
    """Say in the model's folder which policy it was made under."""
    (folder / "policy.txt").write_text(policy.stamp + "\n", encoding="utf-8")


def check_model_stamp(folder: Path, policy: Policy) -> None:
    """Raise PolicyMismatch unless the model in `folder` was made under this policy."""
    path = folder / "policy.txt"
    found = path.read_text(encoding="utf-8").strip() if path.exists() else "(none)"
    try:
        check_stamp(found, policy, f"the model in {folder}")
    except PolicyMismatch as error:
        advice = f"train it anew, or write {policy.stamp} into {path.name} if no grade changed"
        raise PolicyMismatch(f"{error}; {advice}") from None


def made_once(folder: Path, make: Callable[[], CrossEncoder], team: ProcessGroup = SINGLE_PROCESS) -> CrossEncoder:
    """The model that stands in `folder`; the main process makes it with `make` when none does, and the others wait."""
    if team.is_main and not folder.exists():
        save_cross_encoder(make(), folder)
    team.wait()
    return load_cross_encoder(folder)


def read_calibrations(folder: Path) -> Calibrations:
    """What `save_model` wrote beside a model."""
    dumped = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
    return {head: Calibration.model_validate(values) for head, values in dumped.items()}


def _save_split(model: SplitStudent, folder: Path) -> None:
    partial = folder.with_suffix(".partial")
    model.backbone.save_pretrained(partial)
    save_file(model.scorer.state_dict(), partial / "scorer.safetensors")
    (partial / "shape.json").write_text(json.dumps(dataclasses.asdict(model.shape)) + "\n", encoding="utf-8")
    partial.replace(folder)


def _load_split(folder: Path) -> SplitStudent:
    shape = SplitShape(**json.loads((folder / "shape.json").read_text(encoding="utf-8")))
    weights = load_file(folder / "scorer.safetensors")
    student = new_split_student(new_cross_encoder(str(folder), len(weights["bias"])), shape)
    student.scorer.load_state_dict(weights)
    return student
