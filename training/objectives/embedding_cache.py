"""Cached embeddings of texts by a frozen encoder, so that training of what weighs them never runs the encoder again.

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
from tqdm import tqdm

from models.text import TextEncoder, TokenIds
from training.files import complete
from training.nets.inference import MULTIPLE, in_length_order, to_tensors
from training.nets.split_student import SplitStudent
from training.trainer.precision import autocast

SHARD = 2048


@dataclass(frozen=True)
class EmbeddedTexts:
    """Embeddings f16[N, D] of texts, and the `row` of each text."""

    vectors: Tensor
    row: dict[str, int]

    def select(self, texts: Sequence[str]) -> Tensor:
        """Embeddings f32[texts, D] of some texts, in the order given."""
        return self.vectors[[self.row[text] for text in texts]].float()


def embed_texts(
    student: SplitStudent, encoder: TextEncoder, texts: Sequence[str], sides: Sequence[TokenIds], cache: Path
) -> EmbeddedTexts:
    """Embed each text, whose ids are in `sides`, unless the folder `cache` has it."""
    cache.mkdir(parents=True, exist_ok=True)
    fingerprint = _fingerprint(student)
    vectors = []
    for start in tqdm(range(0, len(sides), SHARD), desc="embed", mininterval=5):
        some = sides[start : start + SHARD]
        path = cache / f"{_name(fingerprint, some)}.safetensors"
        if not path.exists():
            with complete(path) as partial:
                save_file({"vectors": _shard(student, encoder, some)}, partial)
        vectors.append(load_file(path)["vectors"])
    return EmbeddedTexts(torch.cat(vectors), {text: row for row, text in enumerate(texts)})


def _fingerprint(student: SplitStudent) -> bytes:
    """Equal for two students only if they embed alike."""
    digest = hashlib.blake2b(digest_size=16)
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
def _shard(student: SplitStudent, encoder: TextEncoder, sides: Sequence[TokenIds]) -> Tensor:
    device = student.scorer.bias.device

    def run(batch: list[TokenIds]) -> Tensor:
        with autocast(device):
            encoding = student.encode(**to_tensors(encoder.collate_sides(batch), device, multiple=MULTIPLE))
        return encoding.vector.half().cpu()

    return torch.stack(in_length_order(sides, run))
