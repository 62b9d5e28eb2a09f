"""Batches of pairs: short lists are padded, and padding has no target."""

from __future__ import annotations

import numpy as np
import torch

from models.text import TextEncoder
from training.data.lists import CandidateList
from training.objectives.pairwise import make_batch


def test_padded_places_carry_no_target(encoder: TextEncoder) -> None:
    full = CandidateList("x", "s", "baker", ("oven", "steel", "ward"), {"fit": np.array([1.0, 0.0, 0.0])})
    short = CandidateList("y", "s", "nurse", ("ward",), {"fit": np.array([1.0])})
    batch = make_batch([full, short], encoder, torch.device("cpu"))
    assert batch.inputs["input_ids"].shape == (16, 16)
    assert batch.masks["fit"].tolist() == [[True] * 3, [True, False, False]]
    places = batch.unflatten(torch.arange(16.0).unsqueeze(1))[..., 0]
    assert places.tolist() == [[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]]
