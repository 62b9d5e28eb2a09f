"""What a teacher says of lists, kept: it reads every pair whole, which takes longer than all else that is judged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.text import TextEncoder
from training.data.lists import CandidateList
from training.nets.checkpoints import FlatTeacher
from training.nets.inference import predict_lists
from training.trainer.distributed import trained_state


def teacher_logits(
    teacher: FlatTeacher, encoder: TextEncoder, lists: Sequence[CandidateList], readings: Path
) -> np.ndarray:
    """Logits f32[pairs of all lists, H], in order; kept in the folder of readings under what they were made of."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in trained_state(teacher).values():
        digest.update(tensor.cpu().numpy().tobytes())
    digest.update(json.dumps([[each.member, *each.candidates] for each in lists]).encode())
    path = readings / f"{digest.hexdigest()}.npy"
    if not path.exists():
        readings.mkdir(parents=True, exist_ok=True)
        np.save(path.with_suffix(".partial.npy"), predict_lists(teacher, teacher.pair_encoder(encoder), lists))
        path.with_suffix(".partial.npy").replace(path)
    found: np.ndarray = np.load(path)
    return found
