"""The scores of each head as a Prometheus histogram. Heads come from bundles. Shadows' scores are not counted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from service.scoring.blending import ScoringResult

BINS = 20
BOUNDS = [f"{(bin + 1) / BINS:g}" for bin in range(BINS - 1)] + ["+Inf"]


class HeadScores(Collector):
    """Counts probabilities by head and model, in bins of equal width; the last one has no bound in Prometheus."""

    def __init__(self, *, by_model: bool = False) -> None:
        """`by_model` adds the model's name as a label."""
        self._labels = ["head", "model"][: 1 + by_model]
        self._by_heads: dict[tuple[str, tuple[str, ...]], tuple[NDArray[np.int64], NDArray[np.float64]]] = {}

    def add(self, result: ScoringResult) -> None:
        """Count each head's answers on scored candidates. On the request path, so without a loop over heads."""
        is_answered = result.rows >= 0  # NaN and UNANSWERED are not
        heads = result.rows.shape[1]
        rows = np.where(is_answered, result.rows, 0)
        bins = np.minimum((rows * BINS).astype(np.int64), BINS - 1) + np.arange(0, heads * BINS, BINS)
        counts = np.bincount(bins[is_answered], minlength=heads * BINS)
        key = (result.model.name, result.model.heads)
        seen = self._by_heads.get(key)
        if seen is None:
            seen = self._by_heads[key] = (np.zeros_like(counts), np.zeros(heads))
        seen[0][:] += counts
        seen[1][:] += rows.sum(axis=0)

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily("fitscore_head_score", "Probabilities by head", labels=self._labels)
        counts: dict[tuple[str, str], NDArray[np.int64]] = {}
        sums: dict[tuple[str, str], float] = {}
        for (model, heads), (flat, totals) in self._by_heads.items():
            for head, bins, total in zip(heads, flat.reshape(len(heads), BINS), totals.tolist(), strict=True):
                key = (head, model)
                counts[key] = counts.get(key, np.zeros(BINS, np.int64)) + bins
                sums[key] = sums.get(key, 0.0) + total
        for key, bins in counts.items():
            buckets = list(zip(BOUNDS, np.cumsum(bins).tolist(), strict=True))
            family.add_metric(key[: len(self._labels)], buckets, sums[key])
        yield family
