"""How well one side, or one field, predicts the label alone: a leak, or a label that is not about fit. Pure numpy."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

WIDTH = 1024
PENALTY = 3.0
MOST_ROWS = 20_000


def auc_of_texts(train: Sequence[str], gains: np.ndarray, test: Sequence[str], test_gains: np.ndarray) -> float | None:
    """AUC of a ridge regression on hashed words, on texts that it did not learn from; None where all gains are equal.

    Gains are f64 in [0, 1]; a pair counts as positive above their mean.
    """
    some = slice(0, MOST_ROWS)
    features, held_out = _features(train[some]), _features(test[some])
    mean = float(gains[some].mean()) if len(gains) else 0.0
    weights = np.linalg.solve(
        features.T @ features + PENALTY * np.eye(WIDTH), features.T @ (np.asarray(gains[some]) - mean)
    )
    return auc(held_out @ weights, np.asarray(test_gains[some]) > mean)


def auc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """The share of pairs of a positive and a negative that are in order; ties count half."""
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    _, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((mean_ranks[where][positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _features(texts: Sequence[str]) -> np.ndarray:
    """f64[N, WIDTH]: words by hash, each row of length 1."""
    found = np.zeros((len(texts), WIDTH))
    for row, text in enumerate(texts):
        for word in set(text.lower().split()):
            found[row, zlib.crc32(word.encode()) % WIDTH] += 1
    return np.asarray(found / np.maximum(1, np.linalg.norm(found, axis=1, keepdims=True)))
