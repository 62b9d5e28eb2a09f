"""Cached encodings of texts by a frozen encoder, so that training of the joint part never runs the encoder again.

Kept as f16 in shards that are named after the encoder and its inputs: an interrupted run resumes, and several steps
share one cache. Knows no lists and no losses.
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
from training.files import complete
from training.nets.inference import MULTIPLE, in_length_order, to_tensors
from training.nets.items import Encoding
from training.nets.split_student import SplitStudent
from training.trainer.precision import autocast

SHARD = 2048


@dataclass(frozen=True)
class EncodedTexts:
    """Encodings of texts: `vectors` f16[N, D], `states[i]` f16[tokens of i, D], and the `row` of each text."""

    vectors: Tensor
    states: list[Tensor]
    row: dict[str, int]

    def select(self, texts: Sequence[str]) -> tuple[Encoding, Tensor]:
        """Encodings of some texts, padded, in the order given; and their mask i64[N, T]."""
        rows = [self.row[text] for text in texts]
        states = [self.states[row].float() for row in rows]
        mask_NT = pad_sequence([torch.ones(len(each), dtype=torch.long) for each in states], batch_first=True)
        return Encoding(self.vectors[rows].float(), pad_sequence(states, batch_first=True)), mask_NT


def encode_texts(
    student: SplitStudent, encoder: TextEncoder, texts: Sequence[str], sides: Sequence[TokenIds], cache: Path
) -> EncodedTexts:
    """Encode each text, whose ids are in `sides`, unless the folder `cache` has it."""
    cache.mkdir(parents=True, exist_ok=True)
    fingerprint = _fingerprint(student)
    vectors, states = [], []
    for start in tqdm(range(0, len(sides), SHARD), desc="encode", mininterval=5):
        some = sides[start : start + SHARD]
        path = cache / f"{_name(fingerprint, some)}.safetensors"
        if not path.exists():
            with complete(path) as partial:
                save_file(_shard(student, encoder, some), partial)
        shard = load_file(path)
        vectors.append(shard["vectors"])
        states += shard["states"].split(shard["lengths"].tolist())
    return EncodedTexts(torch.cat(vectors), states, {text: row for row, text in enumerate(texts)})


def _fingerprint(student: SplitStudent) -> bytes:
    """Equal for two students only if they encode alike."""
    digest = hashlib.blake2b(str(student.shape.depth).encode(), digest_size=16)
    for tensor in student.backbone.state_dict().values():
        digest.update(tensor.cpu().numpy())
    return digest.digest()


def _name(fingerprint: bytes, sides: Sequence[TokenIds]) -> str:
    digest = hashlib.blake2b(fingerprint, digest_size=16)
    for ids in sides:
        digest.update(len(ids).to_bytes(4, "little"))
        digest.update(ids.tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def _shard(student: SplitStudent, encoder: TextEncoder, sides: Sequence[TokenIds]) -> dict[str, Tensor]:
    device = student.scorer.bias.device

    def run(batch: list[TokenIds]) -> list[tuple[Tensor, Tensor]]:
        with autocast(device):
            encoding = student.encode(**to_tensors(encoder.collate_sides(batch), device, multiple=MULTIPLE))
        rows = zip(batch, encoding.vector, encoding.states, strict=True)
        return [(vector.half().cpu(), states[: len(ids)].half().cpu()) for ids, vector, states in rows]

    vectors, states = zip(*in_length_order(sides, run), strict=True)
    lengths = torch.tensor([len(each) for each in sides])
    return {"vectors": torch.stack(vectors), "states": torch.cat(states), "lengths": lengths}
