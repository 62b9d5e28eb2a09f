"""How a student learns what features change: from gains on validation lists, with its texts' logits as they are.

On training lists those logits know the gains already, and nothing would be left for the features to explain. Each
feature must first show by itself, in a head, that it lowers the loss on lists that it was not fitted to: a column of
noise gets no part in any score. Soft labels have no part either, because teachers read texts alone.

N pairs, H heads, F features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from models.features import Features
from training.data.features import feature_inputs
from training.data.impressions import POSITION
from training.data.lists import CandidateList
from training.evaluation.feature_effects import FeatureEffect
from training.metrics.bootstrap import Interval
from training.metrics.cluster_bootstrap import clustered_interval
from training.nets.feature_part import FeaturePart

FOLDS = 5
REFITS = 20
"""On resampled members, for the interval of an effect; each starts from the whole fit."""
T_QUANTILE = 2.09
"""The 97.5 % quantile of Student's t with REFITS - 1 degrees of freedom."""
FIRST_STEPS, AGAIN_STEPS = 50, 15
LOW, HIGH = 0.1, 0.9
"""An effect is stated between these quantiles of a feature."""
TINY = 1e-6


@dataclass(frozen=True)
class HeldOutPairs:
    """Pairs of lists that a student did not learn from: its logits of the texts [N, H], the features' inputs [N, F],
    gains [N, H] (NaN: unknown), how likely each was examined [N], and the member's text as the cluster [N].
    """

    logits: np.ndarray
    inputs: np.ndarray
    gains: np.ndarray
    examined: np.ndarray
    clusters: np.ndarray

    @classmethod
    def of(
        cls,
        features: Features,
        heads: Sequence[str],
        logits: np.ndarray,
        lists: Sequence[CandidateList],
        curve: np.ndarray | None = None,
    ) -> HeldOutPairs:
        """`curve` f64[P] is P(examined) of each position of a log; None: all are examined."""
        unknown = [np.full(len(each), np.nan) for each in lists]
        gains = [
            np.concatenate([each.labels.get(head, none) for each, none in zip(lists, unknown, strict=True)])
            for head in heads
        ]
        members = [each.member for each in lists for _ in each.candidates]
        return cls(
            logits[:, : len(heads)],
            feature_inputs(features, lists),
            np.stack(gains, axis=-1),
            np.ones(len(members)) if curve is None else _examined(lists, curve),
            np.array(members, dtype=object),
        )

    def rows(self, rows: np.ndarray) -> HeldOutPairs:
        """Some of the pairs."""
        return HeldOutPairs(*(getattr(self, each.name)[rows] for each in dataclasses.fields(self)))

    def and_those_of(self, other: HeldOutPairs) -> HeldOutPairs:
        both = [(getattr(self, each.name), getattr(other, each.name)) for each in dataclasses.fields(self)]
        return HeldOutPairs(*map(np.concatenate, both))


@dataclass(frozen=True)
class LearntFeatures:
    """The part, its effects, and the logits [N, H] of the pairs by parts that were not fitted to them."""

    part: FeaturePart
    effects: tuple[FeatureEffect, ...]
    logits: np.ndarray


def learn_features(features: Features, heads: Sequence[str], pairs: HeldOutPairs, seed: int) -> LearntFeatures:
    """Choose the features of each head, fit them together, and measure them."""
    fold = _folds(pairs.clusters, seed)
    used = _helpful(features, pairs, fold, seed)
    part = _fit(features, pairs, used, seed)
    refits = [_fit(features, pairs.rows(rows), used, seed, start=part) for rows in _resampled(pairs.clusters, seed)]
    effects = [
        _effect(features, head, name, (row, column), part, refits, pairs)
        for row, head in enumerate(heads)
        for column, name in enumerate(features.names)
    ]
    return LearntFeatures(part, tuple(effects), _cross_fitted(features, pairs, fold, used, seed))


def _helpful(features: Features, pairs: HeldOutPairs, fold: np.ndarray, seed: int) -> np.ndarray:
    """Whether a feature by itself lowers a head's loss on the other folds, beyond chance: bool[H, F].

    Compared with a part whose features are the same for all pairs: it can move and bend the logits of the texts too.
    """
    heads, found = range(pairs.gains.shape[1]), []
    constant = replace(pairs, inputs=np.zeros_like(pairs.inputs))
    losses = _losses(_cross_fitted(features, constant, fold, np.ones((len(heads), len(features))), seed), pairs)
    for index in range(len(features)):
        used = np.zeros((len(heads), len(features)))
        used[:, index] = 1
        gained = losses - _losses(_cross_fitted(features, pairs, fold, used, seed), pairs)
        found.append([_is_above_zero(gained[:, head], pairs.clusters) for head in heads])
    return np.array(found).T


def _is_above_zero(gained: np.ndarray, clusters: np.ndarray) -> bool:
    known = ~np.isnan(gained)
    if not known.any():
        return False
    sums = np.stack([gained[known], np.ones(known.sum())], axis=-1)[None]
    return clustered_interval([sums], list(clusters[known]), lambda total: total[:, 0] / total[:, 1]).low > 0


def _cross_fitted(features: Features, pairs: HeldOutPairs, fold: np.ndarray, used: np.ndarray, seed: int) -> np.ndarray:
    """Logits [N, H] of each fold by a part that was fitted to the others."""
    found = pairs.logits.astype(np.float64)
    for number in range(FOLDS) if used.any() else ():
        part = _fit(features, pairs.rows(fold != number), used, seed)
        found[fold == number] = _applied(part, pairs.rows(fold == number), pairs.inputs[fold == number])
    return found


def _fit(
    features: Features, pairs: HeldOutPairs, used: np.ndarray, seed: int, start: FeaturePart | None = None
) -> FeaturePart:
    """The least loss of gains. A normal prior of what bends the effects holds them straight where little is known."""
    part = FeaturePart(features, pairs.gains.shape[1])
    torch.nn.init.normal_(part.inner, generator=torch.Generator().manual_seed(seed))
    if start is not None:
        part.load_state_dict(start.state_dict())
    part.used.copy_(torch.from_numpy(used))
    if not used.any():
        return part.eval()
    part.double()
    logits, inputs = torch.from_numpy(pairs.logits).double(), torch.from_numpy(pairs.inputs).double()
    weights = list(part.parameters())
    optimizer = torch.optim.LBFGS(
        weights, max_iter=AGAIN_STEPS if start else FIRST_STEPS, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        prior = sum(each.square().sum() for each in (part.inner, part.outer)) / 2
        loss = _nll(part(logits, inputs), pairs).nansum() + prior
        loss = loss / len(logits)
        loss.backward()
        return loss

    optimizer.step(closure)
    return part.float().eval()


def _nll(logits: Tensor, pairs: HeldOutPairs) -> Tensor:
    """Negative log likelihood of the gains [N, H], NaN where there are none."""
    gains, examined = torch.from_numpy(pairs.gains), torch.from_numpy(pairs.examined).unsqueeze(-1)
    stated = (examined * torch.sigmoid(logits)).clamp(TINY, 1 - TINY)
    return -(gains * torch.log(stated) + (1 - gains) * torch.log1p(-stated))


def _losses(logits: np.ndarray, pairs: HeldOutPairs) -> np.ndarray:
    return _nll(torch.from_numpy(logits), pairs).numpy()


@torch.no_grad()
def _applied(part: FeaturePart, pairs: HeldOutPairs, inputs: np.ndarray) -> np.ndarray:
    logits: Tensor = part(torch.from_numpy(pairs.logits).float(), torch.from_numpy(inputs).float())
    return logits.double().numpy()


def _effect(
    features: Features,
    head: str,
    name: str,
    place: tuple[int, int],
    part: FeaturePart,
    refits: Sequence[FeaturePart],
    pairs: HeldOutPairs,
) -> FeatureEffect:
    row, column = place
    low, high = np.quantile(pairs.inputs[:, column], [LOW, HIGH])
    declared = features.declared[column]
    first, last = (declared.low + float(end) * (declared.high - declared.low) for end in (low, high))
    change, *again = (_mean_change(each, pairs, column, low, high)[row] for each in (part, *refits))
    spread = T_QUANTILE * float(np.std(again, ddof=1))
    used = bool(part.used[row, column])
    interval = Interval(change, change - spread, change + spread)
    return FeatureEffect(head, name, declared.unit, first, last, interval, used)


def _mean_change(part: FeaturePart, pairs: HeldOutPairs, column: int, low: float, high: float) -> list[float]:
    """Of each head's logit, if the feature were high for all pairs and not low."""
    at = []
    for end in (low, high):
        inputs = pairs.inputs.copy()
        inputs[:, column] = end
        at.append(_applied(part, pairs, inputs))
    found: list[float] = (at[1] - at[0]).mean(axis=0).tolist()
    return found


def _folds(clusters: np.ndarray, seed: int) -> np.ndarray:
    """A fold for each pair; pairs of one member share it."""
    names, number = np.unique(clusters, return_inverse=True)
    return np.asarray((np.random.default_rng(seed).permutation(len(names)) % FOLDS)[number])


def _resampled(clusters: np.ndarray, seed: int) -> list[np.ndarray]:
    """Row numbers of REFITS samples of as many members, with replacement."""
    names, number = np.unique(clusters, return_inverse=True)
    of_member = [np.flatnonzero(number == each) for each in range(len(names))]
    random = np.random.default_rng(seed)
    return [
        np.concatenate([of_member[each] for each in random.integers(0, len(names), len(names))]) for _ in range(REFITS)
    ]


def _examined(lists: Sequence[CandidateList], curve: np.ndarray) -> np.ndarray:
    """P(examined) of each pair; positions beyond the curve count as its last one."""
    positions = np.concatenate([each.labels[POSITION] for each in lists]).astype(int)
    return np.asarray(curve[np.minimum(positions, len(curve)) - 1])
