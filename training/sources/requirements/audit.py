"""The shortcut audit of the set `requirements`: what can order its minimal pairs without reading both sides together.

Each shortcut orders the two jobs of a minimal pair; one that is right more often than by chance, or less often, has
found something that the texts should not give away.
"""

from __future__ import annotations

import itertools
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.template import Fields
from training.sources.requirements.drawing import RequirementList

TOLERANCE = 0.03
BUCKETS = 1 << 15


@dataclass(frozen=True)
class MinimalPair:
    """A member and two jobs that differ in one dimension; places are those in the list."""

    dimension: str
    member: str
    better: str
    worse: str
    better_place: int
    worse_place: int


def plain(fields: Fields) -> str:
    """All fields as one text."""
    texts = (", ".join(value) if isinstance(value, list) else str(value) for value in fields.values())
    return ". ".join(text for text in texts if text)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def minimal_pairs(lists: Iterable[RequirementList]) -> list[MinimalPair]:
    """The minimal pairs of some lists."""
    found = []
    for one in lists:
        twins: dict[int, list[int]] = {}
        for place, pair in enumerate(one.pairs):
            if pair.twins is not None:
                twins.setdefault(pair.twins, []).append(place)
        for places in twins.values():
            if len(places) == 2:
                dimension = one.pairs[places[0]].change
                better, worse = sorted(places, key=lambda p: -(one.pairs[p].grades[dimension] or 0))
                texts = plain(one.pairs[better].fields), plain(one.pairs[worse].fields)
                found.append(MinimalPair(dimension, plain(one.member), *texts, better, worse))
    return found


def _bm25(pairs: Sequence[MinimalPair]) -> Callable[[str, str], float]:
    texts = [words(text) for pair in pairs for text in (pair.better, pair.worse)]
    counts = Counter(word for text in texts for word in set(text))
    mean = sum(map(len, texts)) / len(texts)
    weight = {word: math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for word, n in counts.items()}

    def score(member: str, job: str) -> float:
        found = words(job)
        often = Counter(found)
        norm = 1.2 * (0.25 + 0.75 * len(found) / mean)
        return sum(weight[w] * often[w] * 2.2 / (often[w] + norm) for w in set(words(member)) if w in often)

    return score


def _overlap(member: str, job: str) -> float:
    mine = set(words(member))
    return sum(word in mine for word in set(words(job))) / max(len(set(words(job))), 1)


def _features(text: str) -> np.ndarray:
    found = words(text)
    grams = [*found, *map(" ".join, itertools.pairwise(found))]
    return np.unique([zlib.crc32(gram.encode()) % BUCKETS for gram in grams])


def fit_alone(pairs: Sequence[MinimalPair], text: Callable[[MinimalPair, bool], str], epochs: int = 4) -> np.ndarray:
    """Weights of words and pairs of words of one side that order the training pairs: a linear RankNet."""
    weights = np.zeros(BUCKETS)
    rows = [(_features(text(pair, True)), _features(text(pair, False))) for pair in pairs]
    generator = np.random.default_rng(0)
    for epoch in range(epochs):
        for row in generator.permutation(len(rows)):
            better, worse = rows[row]
            margin = weights[better].sum() - weights[worse].sum()
            step = 0.1 / (1 + epoch) / (1 + math.exp(min(margin, 30.0)))
            weights[better] += step
            weights[worse] -= step
    return weights


def _side(pair: MinimalPair, better: bool) -> str:
    return pair.better if better else pair.worse


@dataclass(frozen=True)
class Share:
    """How many pairs a shortcut ordered, and the share that is right, ties by half."""

    pairs: int
    right: float


def share_right(differences: Sequence[float]) -> Share:
    """Of the scores of the better job less those of the worse one."""
    return Share(len(differences), float(np.mean((np.sign(np.asarray(differences)) + 1) / 2)))


def audit(train: Sequence[MinimalPair], test: Sequence[MinimalPair]) -> dict[str, dict[str, Share]]:
    """Shortcut -> dimension (and "all") -> share of test pairs in the right order."""
    bm25, alone = _bm25(test), fit_alone(train, _side)
    shortcuts: dict[str, Callable[[MinimalPair, bool], float]] = {
        "bm25": lambda p, b: bm25(p.member, _side(p, b)),
        "overlap": lambda p, b: _overlap(p.member, _side(p, b)),
        "candidate only": lambda p, b: float(alone[_features(_side(p, b))].sum()),
        "member only": lambda p, b: float(len(words(p.member))),
        "length": lambda p, b: float(len(_side(p, b))),
        "position": lambda p, b: float(p.better_place if b else p.worse_place),
    }
    found: dict[str, dict[str, Share]] = {}
    for name, score in shortcuts.items():
        differences = [(p.dimension, score(p, True) - score(p, False)) for p in test]
        found[name] = {"all": share_right([d for _, d in differences])}
        for dimension in sorted({p.dimension for p in test}):
            found[name][dimension] = share_right([d for of, d in differences if of == dimension])
    return found


def leaks(found: Mapping[str, Mapping[str, Share]], tolerance: float = TOLERANCE) -> list[str]:
    """A sentence for each shortcut that is further from chance than `tolerance` and two standard errors."""
    return [
        f"{name} orders {share.right:.3f} of {share.pairs} minimal pairs ({dimension}); chance is .5"
        for name, by in found.items()
        for dimension, share in by.items()
        if abs(share.right - 0.5) > tolerance + 2 * 0.5 / math.sqrt(share.pairs)
    ]
