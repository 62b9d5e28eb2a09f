"""How often members look at each place, from a log; and whether the log can tell that from what was shown there.

The position-based model: E[actions] = shown * examination(place) * attraction(candidate). With propensities, weighting
makes the candidates of all places alike (Joachims, Swaminathan and Schnabel, 2017). Without, both factors are fitted
together, which needs candidates that were shown at several places (Agarwal et al., 2019). Pure numpy.

N rows | P places | I items
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.metrics.bootstrap import Interval
from training.metrics.cluster_bootstrap import clustered_interval
from training.metrics.measures import ratio

ROUNDS, DRAWS = 100, 100
VARIED = 0.1
"""Under this share of actions by candidates at several places, places cannot be separated from candidates."""


@dataclass(frozen=True)
class Shown:
    """Rows of a log as arrays [N]: place from 1, item, times shown, actions, cluster; propensities where known."""

    places: np.ndarray
    items: np.ndarray
    shown: np.ndarray
    actions: np.ndarray
    clusters: np.ndarray
    propensity: np.ndarray | None = None


@dataclass(frozen=True)
class Examination:
    """Looks at each place, relative to place 1; `unknown` places are not connected with it."""

    method: str
    curve: dict[int, Interval]
    unknown: tuple[int, ...]
    warnings: tuple[str, ...]


def examination(log: Shown) -> Examination:
    """The curve over all places that the log can tell."""
    return _weighted(log) if log.propensity is not None else _fitted(log)


def linked_places(log: Shown) -> set[int]:
    """Places connected with place 1 by candidates that drew actions: only these have a ratio to it."""
    useful = np.isin(log.items, np.unique(log.items[log.actions > 0]))
    pairs = np.unique(np.stack([log.places[useful], log.items[useful]], axis=1), axis=0)
    places, found = {1}, -1
    while len(places) != found:
        found = len(places)
        items = pairs[np.isin(pairs[:, 0], list(places)), 1]
        places |= set(pairs[np.isin(pairs[:, 1], items), 0].tolist())
    return places


def varied_share(log: Shown) -> float:
    """The share of actions by candidates that were shown at several places."""
    pairs = np.unique(np.stack([log.items, log.places], axis=1), axis=0)
    items, places = np.unique(pairs[:, 0], return_counts=True)
    varied = np.isin(log.items, items[places > 1])
    total = log.actions.sum()
    return float(log.actions[varied].sum() / total) if total else 0.0


def _weighted(log: Shown) -> Examination:
    assert log.propensity is not None
    warnings, weight = [], 1 / log.propensity
    places = np.unique(log.places).tolist()
    if float(log.propensity.min()) >= 1:
        warnings.append("every propensity is 1: without random orders a place cannot be separated from its candidates")
    curve = {}
    names, cluster = np.unique(log.clusters, return_inverse=True)
    for place in places:
        parts = []
        for each in (place, 1):
            at = weight * (log.places == each)
            parts += [np.bincount(cluster, weights=at * by, minlength=len(names)) for by in (log.actions, log.shown)]
        curve[int(place)] = clustered_interval(
            [np.stack(parts, axis=1)[None]],
            [str(each) for each in names],
            lambda t: ratio(t[..., :2]) / ratio(t[..., 2:]),
        )
    return Examination("propensities", curve, (), (*warnings, *_wide(curve)))


def _fitted(log: Shown) -> Examination:
    linked = linked_places(log)
    places = np.unique(log.places)
    unknown = tuple(int(each) for each in places if int(each) not in linked)
    share = varied_share(log)
    warnings = [] if share >= VARIED else [
        f"{share:.0%} of the actions are by candidates that were shown at several places: the log cannot tell a place"
        " from its candidates; show some lists in random order"
    ]  # fmt: skip
    if unknown:
        named = ", ".join(map(str, unknown))
        warnings.append(f"no candidate links place {named} with place 1: there is no figure for it")
    row = np.isin(log.places, list(linked))
    cells, cell = np.unique(np.stack([log.places[row], log.items[row]], axis=1), axis=0, return_inverse=True)
    names, cluster = np.unique(log.clusters[row], return_inverse=True)
    shown, actions, drawing = log.shown[row], log.actions[row], np.random.default_rng(0)
    found = []
    for draw in range(DRAWS + 1):
        times = np.bincount(drawing.integers(0, len(names), len(names)), minlength=len(names)) if draw else None
        weight = np.ones(len(cluster)) if times is None else times[cluster].astype(np.float64)
        counts = [np.bincount(cell.ravel(), weights=weight * each, minlength=len(cells)) for each in (shown, actions)]
        found.append(_fit(cells, *counts))
    known = np.unique(cells[:, 0]).tolist()
    curve = {
        int(place): Interval(
            float(found[0][k]), *np.nanpercentile([each[k] for each in found[1:]], [2.5, 97.5]).tolist()
        )
        for k, place in enumerate(known)
    }
    return Examination("candidates at several places", curve, unknown, (*warnings, *_wide(curve)))


def _fit(cells: np.ndarray, shown: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Examination of each place over that of the first, f64[P], by Poisson likelihood, consistent for all rates."""
    _, place = np.unique(cells[:, 0], return_inverse=True)
    _, item = np.unique(cells[:, 1], return_inverse=True)
    examined = np.ones(place.max() + 1)
    by_place, by_item = np.bincount(place, weights=actions), np.bincount(item, weights=actions)
    for _ in range(ROUNDS):
        drawn = by_item / np.maximum(np.bincount(item, weights=shown * examined[place]), 1e-12)
        examined = by_place / np.maximum(np.bincount(place, weights=shown * drawn[item]), 1e-12)
    return np.asarray(examined / examined[0] if examined[0] else np.full(len(examined), np.nan))


def _wide(curve: dict[int, Interval]) -> list[str]:
    wide = [str(place) for place, each in curve.items() if not each.high < 3 * max(each.low, 1e-9)]
    return [f"place {', '.join(wide)}: the interval spans a factor of 3 or more"] if wide else []
