"""IPS, SNIPS and DR: the rate of an action under another policy, from a log with propensities. Pure numpy.

A slot is a candidate that could be chosen: how often it was shown, how often the action followed, the chance that the
logging policy showed it there, and whether the other policy would. IPS: Horvitz and Thompson (1952). SNIPS: Swaminathan
and Joachims (2015). DR: Dudik, Langford and Li (2011), its model fitted on other clusters than those it predicts.

N slots | L lists | K sums of a list
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.metrics.bootstrap import Interval
from training.metrics.cluster_bootstrap import clustered_interval
from training.metrics.measures import ratio

FOLDS = 5
FEW = 100.0
"""Effectively fewer shown candidates than this estimate nothing."""


@dataclass(frozen=True)
class Slots:
    """A log as arrays f64[N]; `lists` and `clusters` are whole numbers from 0, i64[N] and i64[L].

    `target`: the chance that the other policy chooses this slot. `chosen`: how often it chooses this candidate at any
    place, over all choices of the list. `value`: what the model of DR reads, such as a score.
    `decided`: of each list, how many choices the log holds, f64[L].
    """

    lists: np.ndarray
    shown: np.ndarray
    actions: np.ndarray
    propensity: np.ndarray
    target: np.ndarray
    chosen: np.ndarray
    value: np.ndarray
    decided: np.ndarray
    clusters: np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A rate with its 95 % interval over clusters, and minus the logged rate, paired."""

    name: str
    rate: Interval
    minus_logged: Interval


@dataclass(frozen=True)
class OffPolicy:
    """All estimates of one log. `effective` of `shown` candidates carry the weighted ones (Kish, 1965).

    `clipped_off` is by how much clipping lowers IPS, as the log itself estimates it; 0 without clipping.
    """

    logged: Interval
    estimates: tuple[Estimate, ...]
    shown: float
    effective: float
    largest_weight: float
    clipped_off: float
    clusters: int

    def named(self, name: str) -> Estimate:
        return next(each for each in self.estimates if each.name == name)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the figures weak, in sentences."""
        found = []
        if self.effective < FEW:
            found.append(
                f"the log shows what this policy would in effect {self.effective:.0f} times: too few to say anything"
            )
        elif self.effective < 0.02 * self.shown:
            found.append(
                f"{self.effective / self.shown:.1%} of the log carries these figures: the policies hardly overlap"
            )
        if self.clipped_off:
            found.append(f"clipping lowers IPS by about {self.clipped_off:.2g}: it is biased by as much")
        return tuple(found)


def estimate(slots: Slots, clip: float | None = None) -> OffPolicy:
    """Every estimate. `clip` bounds the weights: less variance, and a bias that is stated."""
    whole = slots.target / slots.propensity
    weight = whole if clip is None else np.minimum(whole, clip)
    model = fitted_model(slots)
    sums = _sums(slots, weight, model)
    clusters = [str(each) for each in slots.clusters]

    def interval(figure: Callable[[np.ndarray], np.ndarray]) -> Interval:
        return clustered_interval([sums[None]], clusters, figure)

    figures: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "IPS": lambda totals: ratio(totals[..., [2, 1]]),
        "SNIPS": lambda totals: ratio(totals[..., [2, 3]]),
        "DR": lambda totals: ratio(totals[..., [4, 1]]),
        "without weights": lambda totals: ratio(totals[..., [5, 6]]),
    }

    def against(figure: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        return lambda totals: figure(totals) - logged(totals)

    def logged(totals: np.ndarray) -> np.ndarray:
        return ratio(totals[..., [0, 7]])

    total = float((weight * slots.shown).sum())
    square = float((weight**2 * slots.shown).sum())
    return OffPolicy(
        logged=interval(logged),
        estimates=tuple(Estimate(name, interval(each), interval(against(each))) for name, each in figures.items()),
        shown=float(slots.shown.sum()),
        effective=total**2 / square if square else 0.0,
        largest_weight=float(weight[slots.shown > 0].max(initial=0.0)),
        clipped_off=float(((whole - weight) * slots.actions).sum() / slots.decided.sum()),
        clusters=len(np.unique(slots.clusters)),
    )


def _sums(slots: Slots, weight: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Of each list, f64[L, 8]: actions, choices, weighted actions and shown, DR, matching actions and shown, shown."""
    residual = weight * (slots.actions - slots.shown * model)
    matches = (slots.target > 0).astype(np.float64)
    of_slots = [
        slots.actions,
        weight * slots.actions,
        weight * slots.shown,
        residual + slots.chosen * model,
        matches * slots.actions,
        matches * slots.shown,
        slots.shown,
    ]
    found = [np.bincount(slots.lists, weights=each, minlength=len(slots.decided)) for each in of_slots]
    return np.stack([found[0], slots.decided, *found[1:]], axis=1)


def fitted_model(slots: Slots) -> np.ndarray:
    """Expected rate of each slot, f64[N]: a line in `value`, fitted on the clusters of the other folds."""
    fold = np.random.default_rng(0).permutation(int(slots.clusters.max()) + 1)[slots.clusters[slots.lists]] % FOLDS
    features = np.stack([np.ones(len(slots.value)), slots.value], axis=1)
    found = np.zeros(len(slots.value))
    for each in range(FOLDS):
        rest, own = fold != each, fold == each
        rows = features[rest]
        gram = (rows * slots.shown[rest, None]).T @ rows + 1e-9 * np.eye(2)
        line = np.linalg.solve(gram, rows.T @ slots.actions[rest])
        found[own] = np.clip(features[own] @ line, 0, 1)
    return found
