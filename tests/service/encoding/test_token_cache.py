"""The token cache evicts the least recently used entries."""

from collections.abc import Sequence

import numpy as np

from models.text import ReadText, TokenCounts, Window
from service.encoding.token_cache import TokenCache

OWNER = b"tokenizer"


class Encoder:
    """The ids of a text are its characters; records the texts."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str], window: Window) -> list[ReadText]:
        self.asked += texts
        kept = [text[: window.tokens] for text in texts]
        return [ReadText(np.array([*map(ord, text)], np.int32), TokenCounts(len(text), 0, 0)) for text in kept]


def letters(texts: Sequence[ReadText]) -> list[str]:
    return ["".join(map(chr, each.ids)) for each in texts]


def test_each_text_is_encoded_once_for_any_id() -> None:
    counts: list[tuple[int, int]] = []
    cache, encode = TokenCache(10_000, lambda hits, misses: counts.append((hits, misses))), Encoder()
    assert letters(cache.read(OWNER, ["ab", "c", "ab"], encode)) == ["ab", "c", "ab"]
    assert letters(cache.read(OWNER, ["c", "d"], encode)) == ["c", "d"]
    assert encode.asked == ["ab", "c", "d"]
    assert counts == [(1, 2), (1, 1)]


def test_another_tokenizer_does_not_find_the_ids() -> None:
    cache, encode = TokenCache(10_000), Encoder()
    cache.read(OWNER, ["a"], encode)
    cache.read(b"another", ["a"], encode)
    assert encode.asked == ["a", "a"]


def test_another_window_does_not_find_the_ids() -> None:
    cache, encode = TokenCache(10_000), Encoder()
    windows = (Window(), Window(1), Window(2), Window(1))
    assert [letters(cache.read(OWNER, ["abc"], encode, window)) for window in windows] == [
        ["abc"],
        ["a"],
        ["ab"],
        ["a"],
    ]
    assert encode.asked == ["abc"] * 3


def test_the_cache_stays_within_its_bytes_and_keeps_used_entries() -> None:
    cache, encode = TokenCache(1000), Encoder()
    cache.read(OWNER, ["a", "b", "c"], encode)
    cache.read(OWNER, ["a"], encode)
    cache.read(OWNER, ["d", "e"], encode)
    assert cache.bytes <= 1000
    encode.asked.clear()
    cache.read(OWNER, ["a", "b"], encode)
    assert encode.asked == ["b"]


def test_a_text_larger_than_the_cache_is_encoded_and_not_kept() -> None:
    cache, encode = TokenCache(250), Encoder()
    assert letters(cache.read(OWNER, ["x" * 100], encode)) == ["x" * 100]
    assert cache.bytes == 0
