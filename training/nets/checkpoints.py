"""A trained model on disk: its weights, its calibration and its policy stamp.

The tokenizer's settings stay with the recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models.heads import Calibration
from training.files import read_json, write_json
from training.nets.cross_encoder import CrossEncoder, load_cross_encoder
from training.nets.llm_teacher import Decoder, is_decoder, load_decoder
from training.nets.ordinal_cross_encoder import (
    Ensemble,
    OrdinalCrossEncoder,
    is_ordinal_cross_encoder,
    load_ensemble,
    load_ordinal_cross_encoder,
)
from training.nets.split_student import SplitStudent, load_split_student
from training.policy.policy import Policy, PolicyMismatch, check_stamp
from training.trainer.distributed import SINGLE_PROCESS, ProcessGroup

Calibrations = dict[str, Calibration]
Student = CrossEncoder | SplitStudent
"""What step `distill` trains. Both offer the same methods; a protocol cannot say that they are torch modules too."""
PolicyTeacher = OrdinalCrossEncoder | Ensemble | Decoder
"""What step `teach` trains, likewise."""


def save_model(
    folder: Path, model: Student | PolicyTeacher, calibrations: Calibrations, processes: ProcessGroup = SINGLE_PROCESS
) -> None:
    """Write the model to `folder/model`, and its calibration beside it. Every process of the group must call it."""
    model.save(folder / "model", is_main=processes.is_main)
    if processes.is_main:
        write_json(folder / "calibration.json", {head: each.model_dump() for head, each in calibrations.items()})


def is_policy_teacher(folder: Path) -> bool:
    """Whether step `teach` wrote the folder."""
    model = folder / "model"
    return is_decoder(model) or is_ordinal_cross_encoder(model) or is_ordinal_cross_encoder(model / "0")


def load_policy_teacher(folder: Path) -> PolicyTeacher:
    """The model that step `teach` wrote to `folder`."""
    if is_decoder(folder / "model"):
        return load_decoder(folder / "model")
    if is_ordinal_cross_encoder(folder / "model"):
        return load_ordinal_cross_encoder(folder / "model")
    return load_ensemble(folder / "model")


def load_student(folder: Path) -> tuple[Student, Calibrations]:
    is_split = (folder / "model" / "shape.json").exists()
    model = load_split_student(folder / "model") if is_split else load_cross_encoder(folder / "model")
    return model, read_calibrations(folder)


def write_stamp(folder: Path, policy: Policy) -> None:
    """Record in the model's folder the policy that it was trained under."""
    (folder / "policy.txt").write_text(policy.stamp + "\n", encoding="utf-8")


def check_model_stamp(folder: Path, policy: Policy) -> None:
    """Raise PolicyMismatch unless the model in `folder` was trained under this policy."""
    path = folder / "policy.txt"
    found = path.read_text(encoding="utf-8").strip() if path.exists() else "(none)"
    try:
        check_stamp(found, policy, f"the model in {folder}")
    except PolicyMismatch as error:
        kept = f"write {policy.stamp} into its {path.name} and run with --accept teach REASON"
        raise PolicyMismatch(f"{error}; delete it to train it again, or, if no grade changed, {kept}") from None


def made_once(folder: Path, make: Callable[[], CrossEncoder], processes: ProcessGroup = SINGLE_PROCESS) -> CrossEncoder:
    """The model in `folder`. If there is none, the main process makes it with `make` and the others wait."""
    if processes.is_main and not folder.exists():
        make().save(folder)
    processes.wait()
    return load_cross_encoder(folder)


def read_calibrations(folder: Path) -> Calibrations:
    return {head: Calibration.model_validate(values) for head, values in read_json(folder / "calibration.json").items()}
