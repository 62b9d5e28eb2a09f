"""Measures what a bundle's scores and texts look like on lists of validation data; see `models.bundle.reference`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.bulk.model import BulkModel
from models.bundle.reference import BINS, SCORE_BINS, Counts, Reference, tokens_bin, unknown_bin
from models.text import TokenCounts


def measured_reference(
    model: BulkModel,
    lists: Sequence[tuple[str, Sequence[str]]],
    features: Sequence[NDArray[np.float32]] | None = None,
) -> Reference:
    """Score members' texts, each with the texts of its candidates.

    `features` f32[candidates, features] are the model's inputs of each list; without them all have their defaults.
    """
    heads = model.scorer.heads
    rows = [np.empty((0, len(heads)), np.float32)]
    members: list[TokenCounts] = []
    candidates: list[TokenCounts] = []
    for number, (member, texts) in enumerate(lists):
        members.append(model.encoder.read_member(member).counts)
        candidates += [text.counts for text in model.encoder.read_candidates(texts)]
        inputs = features[number] if features else model.features.read([None] * len(texts)).values
        encoded = model.encode(texts)
        known = [each for each in encoded if each is not None]
        rows.append(model.rows(member, known, inputs[[each is not None for each in encoded]]))
    found = np.concatenate(rows)
    return Reference(
        score={head: _score_counts(found[:, place]) for place, head in enumerate(heads)},
        tokens={"member": _tokens(members), "candidate": _tokens(candidates)},
        unknown={"member": _unknown(members), "candidate": _unknown(candidates)},
    )


def _score_counts(scores: NDArray[np.float32]) -> Counts:
    answered = scores[(scores >= 0) & np.isfinite(scores)]  # NaN and UNANSWERED are not
    bins = np.minimum((answered * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
    return tuple(np.bincount(bins, minlength=SCORE_BINS).tolist())


def _tokens(texts: Sequence[TokenCounts]) -> Counts:
    return _counted([tokens_bin(each.read + each.cut) for each in texts], BINS["tokens"])


def _unknown(texts: Sequence[TokenCounts]) -> Counts:
    return _counted([unknown_bin(each.unknown, each.read) for each in texts], BINS["unknown"])


def _counted(bins: Sequence[int], num: int) -> Counts:
    return tuple(bins.count(place) for place in range(num))
