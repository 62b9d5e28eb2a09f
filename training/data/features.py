"""Features of candidates in tables and lists: a column `feature.NAME` each, in its unit; null where one is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from models.features import Features

PREFIX = "feature."


class WithFeatures(Protocol):
    """A list of candidates."""

    @property
    def features(self) -> Mapping[str, np.ndarray]:
        """Numbers by feature, f64[candidates] each; NaN where one is missing."""

    def __len__(self) -> int:
        """Candidates."""


def column_of(name: str) -> str:
    return f"{PREFIX}{name}"


def feature_inputs(features: Features, lists: Sequence[WithFeatures]) -> np.ndarray:
    """A model's inputs f32[pairs of all lists, features], in order."""
    columns = [np.concatenate([_numbers(each, name) for each in lists]) for name in features.names]
    raw = np.stack(columns, axis=-1) if columns else np.zeros((sum(map(len, lists)), 0))
    return features.scaled(raw)


def _numbers(each: WithFeatures, name: str) -> np.ndarray:
    return each.features.get(name, np.full(len(each), np.nan))
