"""A long text in chunks: windows that each begin with the text's opening, so that its 500th word is read as well.

A text that says the same twice is read as if it said it once: a longer text must gain nothing by its length. Knows
characters and token counts, no tokenizer and no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*|(?<=[\u3002\uff01\uff1f])")
_ITEM = re.compile(r"(?<=[,;\u2022])\s+|(?<=[\u3001\uff0c\uff1b])")
# A full stop ends a word, with or without a space after it.
_SPACED_WORD = re.compile(r"[^\s.!?;,]+[.!?;,]*\s*|[.!?;,]+\s*")
_WORD = re.compile(r"\s+")
_EDGES = " \t\n.,;:!?"
RUN, SHORT_RUN = 8, 4
"""So many words in a row, or more, are left out if they occurred before, or came right before."""
OPENING_SHARE = 4
"""The opening takes at most this part of a window."""


def without_repeats(text: str) -> str:
    """The text without what it has said before: all of it, runs of words, and sentences. Itself if there is nothing."""
    words = [match.group() for match in _SPACED_WORD.finditer(text)]
    fresh = _fresh(_once([_plain(word) for word in words]))
    once = "".join(words[place] for place in fresh) if len(fresh) < len(words) else text
    sentences: dict[str, str] = {}
    pieces = [each for each in _sentences(once) if _plain(each)]
    for piece in pieces:
        sentences.setdefault(_plain(piece), piece)
    if len(sentences) < len(pieces):
        once = "".join(sentences.values())
    # A text that ends without a full stop does not get one by being said twice.
    return text if once is text else once.rstrip(_EDGES) + text[len(text.rstrip(_EDGES)) :]


def _plain(words: str) -> str:
    """What makes words the same."""
    return words.strip().strip(_EDGES).casefold()


def _sentences(text: str) -> list[str]:
    """The sentences, each with the white space after it."""
    ends = [0, *(match.end() for match in _SENTENCE.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(ends)]


def _once(words: Sequence[str]) -> Sequence[str]:
    """The words of a text that is these words over and over; all words of any other."""
    joined = "".join(f"{word} " for word in words)
    return words[: joined[: (joined + joined).find(joined, 1)].count(" ")]


def _fresh(words: Sequence[str]) -> list[int]:
    """The places of words that do not repeat a run."""
    first: dict[tuple[str, ...], int] = {}
    fresh: list[int] = []
    place = 0
    while place < len(words):
        key = tuple(words[place : place + RUN])
        before = first.setdefault(key, place) if len(key) == RUN else place
        length = RUN if before < place else 0
        while length and place + length < len(words) and words[before + length] == words[place + length]:
            length += 1
        length = length or _echo(words, place)
        if not length:
            fresh.append(place)
        place += max(1, length)
    return fresh


def _echo(words: Sequence[str], place: int) -> int:
    """How many words from here are the same as so many right before them; 0 if there is no such number."""
    for length in range(SHORT_RUN, RUN):
        if length <= place and words[place] == words[place - length]:
            here = words[place : place + length]
            if here == words[place - length : place]:
                return length
    return 0


def border_ranks(text: str, starts: Sequence[int]) -> NDArray[np.int8]:
    """How good it is to cut before each token, i8[tokens + 1]: 3 a sentence's end, 2 an item's, 1 a word's, else 0.

    `starts` are the tokens' first characters.
    """
    ranks = np.zeros(len(text) + 2, np.int8)
    for rank, pattern in enumerate((_WORD, _ITEM, _SENTENCE), start=1):
        ranks[[match.end() for match in pattern.finditer(text)]] = rank
    # A token of some vocabularies begins with the space before its word.
    places = [start + text[start : start + 1].isspace() for start in starts]
    return np.append(ranks[np.asarray(places, np.int64)], np.int8(3))


def chunk_spans(ranks: NDArray[np.int8], window: int) -> tuple[int, list[tuple[int, int]]]:
    """The opening's tokens, and the chunks as (start, end) of tokens, which cover the text in order.

    The first chunk begins with the opening; each other has room for it. The last one overlaps the one before rather
    than be short: what a few words mean depends on those around them.
    """
    num = len(ranks) - 1
    if num <= window:
        return 0, [(0, num)]
    opening = next((place for place in range(1, window // OPENING_SHARE + 1) if ranks[place] == 3), 0)
    room = window - opening
    spans = [(0, _best_end(ranks, 0, window))]
    while (start := spans[-1][1]) < num:
        if num - start <= room:
            spans.append((_best_start(ranks, num - room, start), num))
        else:
            spans.append((start, _best_end(ranks, start, start + room)))
    return opening, spans


def _best_end(ranks: NDArray[np.int8], start: int, latest: int) -> int:
    """The last of the best borders in the second half of a chunk."""
    earliest = (start + latest) // 2 + 1
    half = ranks[earliest : latest + 1]
    return latest - int(half[::-1].argmax())


def _best_start(ranks: NDArray[np.int8], earliest: int, latest: int) -> int:
    """The first of the best borders of a last chunk, which is at most half as long as it could be, or longer."""
    half = ranks[earliest : min(latest, (earliest + latest) // 2) + 1]
    return earliest + int(half.argmax())
