"""Mutated JSON bodies, as a fuzzer sends them. The same generator makes the same bodies."""

from __future__ import annotations

import random

POISON = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b'"\\ud800"', b'"\\u0000"', b"[" * 2000, b"{}", b"[]", b"null",
    b"true", b"-1", b"0", b"1e-400", b'""', b"9" * 20, b'"\xff"', b'{"a":{"a":{}}}', b'"[SEP]"', b"\xef\xbb\xbf",
)  # fmt: skip


def mutated(body: bytes, random_: random.Random) -> bytes:
    """A body after one to three mutations."""
    raw = bytearray(body)
    for _ in range(random_.randint(1, 3)):
        _mutate(raw, random_)
    return bytes(raw)


def _mutate(raw: bytearray, random_: random.Random) -> None:
    """Flip a bit, delete, double or insert bytes, or replace a value."""
    place = random_.randrange(len(raw) + 1)
    mutation = random_.randrange(5)
    if mutation == 0 and place < len(raw):
        raw[place] ^= 1 << random_.randrange(8)
    elif mutation == 1:
        del raw[place : place + random_.randint(1, 20)]
    elif mutation == 2:
        raw[place:place] = raw[place : place + random_.randint(1, 20)]
    elif mutation == 3:
        raw[place:place] = random_.choice(POISON)
    else:
        _replace_value(raw, random_)


def _replace_value(raw: bytearray, random_: random.Random) -> None:
    starts = [place + 1 for place, letter in enumerate(raw) if letter in b":,["]
    if not starts:
        return
    start = random_.choice(starts)
    end = next((place for place in range(start, len(raw)) if raw[place] in b",]}"), len(raw))
    raw[start:end] = random_.choice(POISON)
