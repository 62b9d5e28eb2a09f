"""How far live traffic is from the reference in the live bundle: scores, lengths of texts, unknown tokens, as PSI.

A request only leaves its result in a bounded queue. Each scrape counts what is there, so a request waits for nothing.
Counted are the latest SAMPLE requests before each scrape, over the window. Knows no texts.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from models.bundle.reference import BINS, SCORE_BINS, Kind, Reference, tokens_bin, unknown_bin
from models.text import TokenCounts
from service.encoding.inputs import Readings
from service.registry.loading import LiveModel
from service.registry.operations import Rows
from service.rollout.drift import drift
from service.scoring.blending import ScoringResult

WINDOW_S = 3600.0
SLICE_S = 60.0
"""The window forgets in steps of this length."""
SAMPLE = 100
"""Requests that are counted at one scrape: the latest."""
TEXTS = 16
"""Candidates of one request whose texts are counted."""
LEAST = 300
"""With fewer counts, live or in the reference, a PSI of 0.25 can be chance, and none is shown; see `drift.noise`."""

Counts = NDArray[np.int64]


@dataclass(eq=False)
class _Window:
    """Counts of one version of a model over the last WINDOW_S, by kind and by head or side."""

    name: str
    version: str
    reference: Reference
    slices: deque[tuple[int, dict[tuple[Kind, str], Counts]]] = field(default_factory=deque)

    def add(self, heads: Sequence[str], results: Sequence[tuple[Rows, Readings]], now: float) -> None:
        number = int(now // SLICE_S)
        if not self.slices or self.slices[-1][0] != number:
            empty = {(kind, of): np.zeros(BINS[kind], np.int64) for kind, of, _ in self.reference.rows()}
            self.slices.append((number, empty))
        counts = self.slices[-1][1]
        rows = np.concatenate([rows for rows, _ in results])
        for place, head in enumerate(heads):
            known = rows[:, place][rows[:, place] >= 0]  # NaN and UNANSWERED are not
            bins = np.minimum((known * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
            counts["score", head] += np.bincount(bins, minlength=SCORE_BINS)
        texts: dict[str, list[TokenCounts]] = {
            "member": [readings.member for _, readings in results],
            "candidate": [each for _, own in results for each in islice(own.candidates.values(), TEXTS)],
        }
        for side, read in texts.items():
            tokens = [tokens_bin(each.read + each.cut) for each in read]
            unknown = [unknown_bin(each.unknown, each.read) for each in read]
            counts["tokens", side] += np.bincount(np.array(tokens, np.int64), minlength=BINS["tokens"])
            counts["unknown", side] += np.bincount(np.array(unknown, np.int64), minlength=BINS["unknown"])

    def forget(self, now: float) -> bool:
        """Drop what is older than the window; whether nothing is left."""
        while self.slices and (self.slices[0][0] + 1) * SLICE_S < now - WINDOW_S:
            self.slices.popleft()
        return not self.slices

    def total(self, kind: Kind, of: str) -> list[int]:
        """Counts by bin of all slices."""
        found: Counts = np.sum([counts[kind, of] for _, counts in self.slices], axis=0)
        return [int(count) for count in found]


class ReferenceDrift(Collector):
    """Compares each version that answers with its bundle's reference; shows nothing of a bundle without one."""

    def __init__(self, *, by_model: bool = False, now: Callable[[], float] = time.monotonic) -> None:
        """`by_model` adds the model's name as a label."""
        self._labels = ["kind", "of", "version", "model"][: 3 + by_model]
        self._now = now
        self._waiting: deque[tuple[LiveModel, Rows, Readings]] = deque(maxlen=SAMPLE)
        self._windows: dict[str, _Window] = {}

    def add(self, result: ScoringResult) -> None:
        """Note a result, to be counted later. On the request path."""
        if result.model.reference is not None:
            self._waiting.append((result.model, result.rows, result.readings))

    def collect(self) -> Iterator[Metric]:
        about = "Drift of an hour's traffic from the bundle's reference: scores of a head, tokens or unknown of a side"
        psi = GaugeMetricFamily("fitscore_drift_psi", about, labels=self._labels)
        counted = GaugeMetricFamily("fitscore_drift_counted", "Values behind fitscore_drift_psi", labels=self._labels)
        now = self._now()
        self._count(now)
        for digest, window in list(self._windows.items()):
            if window.forget(now):
                del self._windows[digest]
                continue
            for kind, of, expected in window.reference.rows():
                found = window.total(kind, of)
                labels = [kind, of, window.version, window.name][: len(self._labels)]
                counted.add_metric(labels, sum(found))
                if min(sum(found), sum(expected)) >= LEAST:
                    psi.add_metric(labels, drift(expected, found))
        yield from (psi, counted)

    def _count(self, now: float) -> None:
        waiting: dict[str, tuple[LiveModel, list[tuple[Rows, Readings]]]] = {}
        while self._waiting:
            model, rows, readings = self._waiting.popleft()
            waiting.setdefault(model.digest, (model, []))[1].append((rows, readings))
        for digest, (model, results) in waiting.items():
            if digest not in self._windows:
                assert model.reference is not None
                self._windows[digest] = _Window(model.name, model.version, model.reference)
            self._windows[digest].add(model.heads, results, now)
