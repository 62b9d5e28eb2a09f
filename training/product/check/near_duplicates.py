"""Texts that are nearly the same, found by MinHash without comparing each with each. Pure numpy.

A text is the set of its three-word phrases. The share of equal minima of random hashes estimates the Jaccard similarity
of two sets (Broder, 1997); texts that share a band of minima are compared in full.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

PHRASE = 3
BANDS, ROWS = 16, 4
"""A pair of similarity .8 shares a band with probability 1 - (1 - .8^4)^16 = .9998."""
PRIME = (1 << 61) - 1
BUCKET = 200
"""At most so many texts of one band are compared: many equal texts make one pair each, not all pairs."""


def phrases(text: str) -> frozenset[int]:
    """Hashes of the phrases of a text; of the text itself where it is shorter than one."""
    words = text.lower().split()
    parts = [" ".join(words[at : at + PHRASE]) for at in range(max(1, len(words) - PHRASE + 1))]
    return frozenset(int.from_bytes(hashlib.blake2b(each.encode(), digest_size=4).digest()) for each in parts)


def similarity(first: frozenset[int], second: frozenset[int]) -> float:
    """Jaccard similarity of two sets of phrases."""
    return len(first & second) / max(1, len(first | second))


def near_duplicates(first: Sequence[str], second: Sequence[str], least: float) -> Iterator[tuple[int, int, float]]:
    """Places of a text of `first` and its most similar one of `second`, where they are similar enough."""
    sets = [[phrases(text) for text in texts] for texts in (first, second)]
    bands = [_bands(each) for each in sets]
    places: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, keys in enumerate(bands[1]):
        for key in keys:
            if len(places[key]) < BUCKET:
                places[key].append(place)
    for place, keys in enumerate(bands[0]):
        candidates = {other for key in keys for other in places.get(key, ())}
        found = max(((similarity(sets[0][place], sets[1][other]), other) for other in candidates), default=(0.0, 0))
        if found[0] >= least:
            yield place, found[1], found[0]


def _bands(sets: Sequence[frozenset[int]]) -> list[list[tuple[int, ...]]]:
    """Keys of each text: the number of a band, and its minima."""
    drawn = np.random.default_rng(0)
    # Products stay below 2^63: 32-bit phrases times 30-bit factors.
    factors = drawn.integers(1, 1 << 30, BANDS * ROWS, dtype=np.int64)
    offsets = drawn.integers(0, PRIME >> 1, BANDS * ROWS, dtype=np.int64)
    found = []
    for phrases_ in sets:
        hashes = np.fromiter(phrases_, np.int64, len(phrases_))
        minima = ((hashes[:, None] * factors + offsets) % PRIME).min(0).reshape(BANDS, ROWS)
        found.append([(band, *row) for band, row in enumerate(minima.tolist())])
    return found
