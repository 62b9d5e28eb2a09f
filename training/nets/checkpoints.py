"""A trained model on disk: its weights, its calibration and its policy stamp.

The tokenizer's settings stay with the recipe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from models.heads import Calibration
from models.text import TextEncoder
from training.files import complete, read_json, write_json
from training.nets.cross_encoder import CrossEncoder, load_cross_encoder
from training.nets.interfaces import PairEncoder
from training.nets.llm_teacher import Decoder, is_decoder, load_decoder
from training.nets.pair_reader import PairReader, is_pair_reader, load_pair_reader
from training.nets.split_student import SplitStudent, load_split_student
from training.policy.policy import Policy, PolicyMismatch, check_stamp
from training.trainer.distributed import SINGLE_PROCESS, ProcessGroup


class Ensemble(nn.Module):
    """Readers with one tokenizer and the same heads, of several seeds: the mean of their probabilities."""

    def __init__(self, members: Sequence[PairReader]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self._members = tuple(members)
        self.heads, self.num_heads, self.encoder = members[0].heads, members[0].num_heads, members[0].encoder

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def pair_encoder(self, shared: TextEncoder) -> PairEncoder:
        """That of its members."""
        return self.encoder

    def forward(self, **inputs: Tensor) -> Tensor:
        """Outputs f32[N, 5 Q] as of one of them."""
        chances: list[Tensor] = [member(**inputs).float().sigmoid() for member in self.members]
        return torch.logit(torch.stack(chances).mean(0), eps=1e-6)

    def save(self, folder: Path, *, is_main: bool = True) -> None:
        """Write each member to a folder of its number."""
        if is_main:
            with complete(folder) as partial:
                partial.mkdir(parents=True, exist_ok=True)
                for number, member in enumerate(self._members):
                    member.save(partial / str(number))


def load_ensemble(folder: Path) -> Ensemble:
    """Read back what `Ensemble.save` wrote."""
    return Ensemble([load_pair_reader(path) for path in sorted(folder.iterdir())])


Calibrations = dict[str, Calibration]
Student = CrossEncoder | SplitStudent
"""What step `distill` trains. Both offer the same methods; a protocol cannot say that they are torch modules too."""
PolicyTeacher = PairReader | Ensemble | Decoder
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
    return is_decoder(model) or is_pair_reader(model) or is_pair_reader(model / "0")


def load_policy_teacher(folder: Path) -> PolicyTeacher:
    """The model that step `teach` wrote to `folder`."""
    if is_decoder(folder / "model"):
        return load_decoder(folder / "model")
    if is_pair_reader(folder / "model"):
        return load_pair_reader(folder / "model")
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


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of all weights, by name: the same for a model and for what is loaded from its folder."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
