"""Texts that are not valid JSON, modelled on JSONTestSuite's n_ files. Knows no service."""

from __future__ import annotations

from itertools import chain

NUMBERS = (
    "+1 01 -01 1. 1.e1 .5 -.5 1e 1e+ 1E- 0x1 1_000 Infinity -Infinity NaN -NaN +Inf inf 1a --1 +-1 1e1.5 0e 0.e1 1e400"
    " -1e400 1f 0b1 1L 0o7 1.2.3 1e+-2 . -. - e5 1ee5 1e1e1 0.1.2 -1x -Infinit 9.e+ 1\u20130 \uff11 \u221e"
).split()
WORDS = "tru True TRUE nul None undefined nil falsee fals truee yes nulll true1 tRue n N".split()
STRUCTURES = (
    '[ ] { } [1 [1, [,1] [1,] [1,,2] [,] {"a"} {"a":} {"a":1,} {,} {a:1} {\'a\':1} {1:1} {"a"::1} {"a":1,,"b":2}'
    ' [1} {"a":1] []] [][] {}{} //c /**/[] []# # * <.> [1;2] {"a":1;"b":2} [\'a\'] (1) ["a":1] {"a",1} [:] {:}'
    ' {"a":1}} {null:1} {[]:1} [1]x x[1] "a""b" , : ; & [-] [*] {"a":/**/1} <html> ]['
).split()
SPACES = (
    "",
    " ",
    "\n",
    "1 2",
    "[1 2]",
    '{"a" 1}',
    "\x0c[]",
    "[]\x0b",
    "\u00a0[]",
    "\u2060[]",
    "\ufeff\ufeff[]",
    "[\ufeff]",
    "[]\x00",
    "\x00",
)
STRINGS = (
    '"',
    '"\\',
    '"a',
    'a"',
    "'a'",
    '"\\x41"',
    '"\\u12"',
    '"\\u{41}"',
    '"\\0"',
    '"\\ "',
    '"\\a"',
    '"\\U0041"',
    '"\\u00g0"',
)
SURROGATES = (
    '"\\ud800"',
    '"\\udc00"',
    '"\\ud800\\u0041"',
    '"\\ud800\\ud800"',
    '"\\udfff\\ud800"',
    '"\\uD8"',
    '{"\\ud800":1}',
)
NOT_UTF8 = tuple(
    bytes.fromhex(raw) for raw in "ff c080 eda080 f4908080 e282 80 fe c3 f8888080 ed e0".split()
)  # fmt: skip


def invalid_texts() -> list[bytes]:
    """Each kind of fault, alone, within an array, and as a value of an object."""
    faulty = [text for text in chain(NUMBERS, WORDS, SURROGATES)]
    texts = [*faulty, *(f"[{text}]" for text in faulty), *(f'{{"a":{text}}}' for text in faulty)]
    texts += [*STRUCTURES, *SPACES, *STRINGS, *(f'"{chr(code)}"' for code in range(0x20))]
    raw = [text.encode("utf-8") for text in texts]
    raw += [*NOT_UTF8, *(b'"' + piece + b'"' for piece in NOT_UTF8), *(b'{"' + piece + b'":1}' for piece in NOT_UTF8)]
    return [*raw, b"[" * 100_000, b'{"a":' * 100_000, b"[" * 1000 + b"]" * 1000, '["a"]'.encode("utf-16")]
