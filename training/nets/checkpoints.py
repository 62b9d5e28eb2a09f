"""A trained model on disk: its weights, its calibration and its policy stamp.

The tokenizer's settings stay with the recipe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.heads import Calibration
from models.text import Inputs, Pair, TextEncoder, TokenIds
from training.files import complete, read_json, write_json
from training.nets.cross_encoder import CrossEncoder, load_cross_encoder
from training.nets.interfaces import PairEncoder
from training.nets.llm_teacher import Decoder, is_decoder, load_decoder
from training.nets.pair_reader import PairReader, TwoTexts, is_pair_reader, load_pair_reader
from training.nets.split_student import SplitStudent, load_split_student
from training.policy.policy import Policy, PolicyMismatch, check_stamp
from training.trainer.distributed import SINGLE_PROCESS, ProcessGroup

BOUNDARY = np.array([-1], dtype=np.int32)
"""Between the token ids of one text by several tokenizers."""


class ManyTokenizers:
    """A text as each member of an ensemble reads it: token ids of all of them, in order."""

    def __init__(self, encoders: Sequence[TwoTexts]) -> None:
        self._encoders = encoders

    def member(self, text: str) -> TokenIds:
        """Ids by each tokenizer, with a boundary between them."""
        return _joined([each.member(text) for each in self._encoders])

    def candidates(self, texts: Sequence[str]) -> list[TokenIds]:
        """Ids of each text by each tokenizer, with a boundary between them."""
        return [_joined(ids) for ids in zip(*(each.candidates(texts) for each in self._encoders), strict=True)]

    def collate(self, pairs: Sequence[Pair]) -> Inputs:
        """`input_ids`, `attention_mask`: i64[N, 2 * members, T]."""
        sides = [zip(_parted(pair.member), _parted(pair.candidate), strict=True) for pair in pairs]
        found = []
        for encoder, read in zip(self._encoders, zip(*sides, strict=True), strict=True):
            found.append(encoder.collate([Pair(*both) for both in read]))
        longest = max(each["input_ids"].shape[-1] for each in found)
        padding = [((0, 0), (0, 0), (0, longest - each["input_ids"].shape[-1])) for each in found]
        names = found[0]
        return {
            name: np.concatenate([np.pad(e[name], pad) for e, pad in zip(found, padding, strict=True)], axis=1)
            for name in names
        }


def _joined(ids: Sequence[TokenIds]) -> TokenIds:
    parts = [part for each in ids for part in (BOUNDARY, each)]
    return np.concatenate(parts[1:])


def _parted(ids: TokenIds) -> list[TokenIds]:
    first, *others = np.split(ids, np.flatnonzero(ids == BOUNDARY[0]))
    return [first, *(each[1:] for each in others)]


class Ensemble(nn.Module):
    """Readers with the same heads, of several backbones or seeds: the mean of their probabilities."""

    def __init__(self, members: Sequence[PairReader]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self._members = tuple(members)
        self.heads, self.num_heads = members[0].heads, members[0].num_heads
        self.encoder = ManyTokenizers([each.encoder for each in members])
        first: dict[tuple[str, bool], PairReader] = {}
        for each in members:
            each.share_texts_of(first.setdefault((weights_digest(each.backbone), each.is_together), each))

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def pair_encoder(self, shared: TextEncoder) -> PairEncoder:
        """Those of its members, together."""
        return self.encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Inputs i64[N, 2 * members, T] -> outputs f32[N, 5 Q] as of one of them."""
        sides = zip(self.members, input_ids.split(2, dim=1), attention_mask.split(2, dim=1), strict=True)
        chances: list[Tensor] = [member(ids, mask).float().sigmoid() for member, ids, mask in sides]
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
