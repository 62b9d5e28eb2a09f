"""What a teacher puts out for lists, cached: it reads every pair whole, which takes longer than all other systems."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.text import TextEncoder
from training.data.lists import CandidateList
from training.files import complete
from training.nets.checkpoints import PolicyTeacher
from training.nets.cross_encoder import CrossEncoder
from training.nets.inference import predict_lists
from training.trainer.distributed import trained_state


def teacher_logits(
    teacher: PolicyTeacher | CrossEncoder, encoder: TextEncoder, lists: Sequence[CandidateList], cache: Path
) -> np.ndarray:
    """Outputs f32[pairs of all lists, H], in order; `cache` is a folder, and the key the weights and the texts."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in trained_state(teacher).values():
        digest.update(tensor.cpu().numpy().tobytes())
    digest.update(json.dumps([[each.member, *each.candidates] for each in lists]).encode())
    path = cache / f"{digest.hexdigest()}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with complete(path) as partial, partial.open("wb") as file:
            np.save(file, predict_lists(teacher, teacher.pair_encoder(encoder), lists))
    found: np.ndarray = np.load(path)
    return found
