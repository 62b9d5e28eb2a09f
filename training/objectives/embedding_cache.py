"""What a frozen encoder makes of texts, made once: training that only moves the joint part never reads a text again.

Kept as f16 in shards that are named after the encoder and what it read, so that a run that was cut off goes on and
several steps share one reading. Knows no lists and no losses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from models.text import TextEncoder, TokenIds
from training.nets.inference import MULTIPLE, in_length_order, to_tensors
from training.nets.split_student import Reading, SplitStudent
from training.trainer.precision import autocast

SHARD = 2048


@dataclass(frozen=True)
class EncodedTexts:
    """Readings of some texts: `vectors` f16[N, D], `states[i]` f16[tokens of i, D], `place` of each text."""

    vectors: Tensor
    states: list[Tensor]
    place: dict[str, int]

    def reading(self, texts: Sequence[str]) -> tuple[Reading, Tensor]:
        """Some of them, padded, in the order given; and their mask i64[N, T]."""
        rows = [self.place[text] for text in texts]
        states = [self.states[row].float() for row in rows]
        mask_NT = pad_sequence([torch.ones(len(each), dtype=torch.long) for each in states], batch_first=True)
        return Reading(self.vectors[rows].float(), pad_sequence(states, batch_first=True)), mask_NT


def encode_members(student: SplitStudent, encoder: TextEncoder, texts: Sequence[str], kept: Path) -> EncodedTexts:
    """Read each text once as a member; `kept` is the folder of readings."""
    return _encode(student, encoder, texts, [encoder.member(text) for text in texts], kept)


def encode_candidates(student: SplitStudent, encoder: TextEncoder, texts: Sequence[str], kept: Path) -> EncodedTexts:
    """Read each text once as a candidate; `kept` is the folder of readings."""
    return _encode(student, encoder, texts, encoder.candidates(texts), kept)


def _encode(
    student: SplitStudent, encoder: TextEncoder, texts: Sequence[str], sides: Sequence[TokenIds], kept: Path
) -> EncodedTexts:
    kept.mkdir(parents=True, exist_ok=True)
    reader = _fingerprint(student)
    vectors, states = [], []
    for start in tqdm(range(0, len(sides), SHARD), desc="encode", mininterval=5):
        some = sides[start : start + SHARD]
        path = kept / f"{_name(reader, some)}.safetensors"
        if not path.exists():
            partial = path.with_suffix(".partial")
            save_file(_shard(student, encoder, some), partial)
            partial.replace(path)
        shard = load_file(path)
        vectors.append(shard["vectors"])
        states += shard["states"].split(shard["lengths"].tolist())
    return EncodedTexts(torch.cat(vectors), states, {text: row for row, text in enumerate(texts)})


def _fingerprint(student: SplitStudent) -> bytes:
    """The same for two students only where they read alike."""
    digest = hashlib.blake2b(str(student.shape.depth).encode(), digest_size=16)
    for tensor in student.backbone.state_dict().values():
        digest.update(tensor.cpu().numpy())
    return digest.digest()


def _name(reader: bytes, sides: Sequence[TokenIds]) -> str:
    digest = hashlib.blake2b(reader, digest_size=16)
    for ids in sides:
        digest.update(len(ids).to_bytes(4, "little"))
        digest.update(ids.tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def _shard(student: SplitStudent, encoder: TextEncoder, sides: Sequence[TokenIds]) -> dict[str, Tensor]:
    device = student.scorer.bias.device

    def run(batch: list[TokenIds]) -> list[tuple[Tensor, Tensor]]:
        with autocast(device):
            reading = student.read(**to_tensors(encoder.collate_sides(batch), device, multiple=MULTIPLE))
        rows = zip(batch, reading.vector, reading.states, strict=True)
        return [(vector.half().cpu(), states[: len(ids)].half().cpu()) for ids, vector, states in rows]

    vectors, states = zip(*in_length_order(sides, run), strict=True)
    lengths = torch.tensor([len(each) for each in sides])
    return {"vectors": torch.stack(vectors), "states": torch.cat(states), "lengths": lengths}
