"""Bodies after small accidents: what a fuzzer sends. The same generator makes the same ones."""

from __future__ import annotations

import random

POISON = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b'"\\ud800"', b'"\\u0000"', b"[" * 2000, b"{}", b"[]", b"null",
    b"true", b"-1", b"0", b"1e-400", b'""', b"9" * 20, b'"\xff"', b'{"a":{"a":{}}}', b'"[SEP]"', b"\xef\xbb\xbf",
)  # fmt: skip


def damaged(body: bytes, random_: random.Random) -> bytes:
    """A body after one to three accidents:
    flipped, cut, doubled or swapped bytes, or a poisonous value in another's place.
    """
    raw = bytearray(body)
    for _ in range(random_.randint(1, 3)):
        place = random_.randrange(len(raw) + 1)
        accident = random_.randrange(5)
        if accident == 0 and place < len(raw):
            raw[place] ^= 1 << random_.randrange(8)
        elif accident == 1:
            del raw[place : place + random_.randint(1, 20)]
        elif accident == 2:
            raw[place:place] = raw[place : place + random_.randint(1, 20)]
        elif accident == 3:
            raw[place:place] = random_.choice(POISON)
        else:
            values = [i for i, letter in enumerate(raw) if letter in b":,["]
            if values:
                start = random_.choice(values) + 1
                ends = [i for i in range(start, len(raw)) if raw[i] in b",]}"]
                raw[start : ends[0] if ends else len(raw)] = random_.choice(POISON)
    return bytes(raw)
