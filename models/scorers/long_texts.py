"""Candidates that are read in chunks, scored by any kind of model without a store: one row for each text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.heads import BestChunk
from models.scorers.interface import Scorer
from models.text import Pair, ReadText, TokenIds


def score_texts(
    scorer: Scorer,
    best: BestChunk,
    members: Sequence[TokenIds],
    candidates: Sequence[ReadText],
    features: Sequence[NDArray[Any] | None] | None = None,
) -> NDArray[np.float32]:
    """Calibrated probabilities f32[candidates, heads] of each member with its candidate and the candidate's features.

    Members that are one array are computed once.
    """
    rows = features or [None] * len(candidates)
    pairs = [
        Pair(member, chunk, row)
        for member, text, row in zip(members, candidates, rows, strict=True)
        for chunk in text.chunks
    ]
    return best.rows(scorer.score(pairs), [len(text.chunks) for text in candidates])
