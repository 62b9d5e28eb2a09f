"""Invalid JSON, and JSON that readers understand differently, is answered 400."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from load_tests.fire.invalid_json import invalid_texts
from service.errors import NotJson
from service.http.strict_json import MAX_DEPTH, read_json
from tests.support.service import Running


def test_the_corpus_is_as_large_as_the_public_suite() -> None:
    assert len(set(invalid_texts())) >= 188


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[1,]",
        b'{"a":1,}',
        b"01",
        b"NaN",
        b"1e400",
        b"tru",
        b'"\\ud800"',
        b'"\xff"',
        b"[]\x00",
        b"[" * 100_000,
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_invalid_json_is_refused(raw: bytes) -> None:
    with pytest.raises(NotJson):
        read_json(raw)


def is_refused(raw: bytes) -> bool:
    try:
        read_json(raw)
    except NotJson:
        return True
    return False


def test_every_text_of_the_corpus_is_refused() -> None:
    assert [raw[:40] for raw in invalid_texts() if not is_refused(raw)] == []


def test_the_standard_library_accepts_some_of_the_corpus() -> None:
    """The negative control: the corpus distinguishes a strict reader from a lenient one."""
    let_in = 0
    for raw in invalid_texts():
        try:
            json.loads(raw)
            let_in += 1
        except (ValueError, RecursionError):
            pass
    assert let_in >= 10


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'[{"b":[{"a":1,"a":2}]}]',
        b'{"a":"\\u0022\\u0022","a":"\\u0022"}',
        b'{"a":"\\u0022","b\\u0022":1,"b\\"":2}',
        b'{"a" :1,"a"\n:2,"b":":x"}',
        b'{"a":1,"a" : 2}',
        b'{"a\\\\":1,"a\\\\":2}',
        b'{"a":1,"a\\u003a":2,"a:":3}',
        b'{"a":{"text":"x\\": y"},"a":1}',
    ],
)
def test_a_repeated_name_is_refused(raw: bytes) -> None:
    assert orjson.loads(raw)  # the parser alone would take the last
    with pytest.raises(NotJson, match="occurs twice"):
        read_json(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":{"a":"a"},"b":[{"a":1},{"a":1}]}',
        b'{"a":"say \\"a\\":1 twice","b":"\\u0022"}',
        '{"é":"\\u00e9","e\\u0301":"ü"}'.encode(),
        b'[0,-0,1.5e-300,"",{},[],null,true,12345678901234567890]',
        b'"\\ud83d\\ude00 \\u0000 \\/"',
    ],
)
def test_valid_json_is_read_unchanged(raw: bytes) -> None:
    assert read_json(raw) == json.loads(raw)


NAMES = st.text(alphabet='a":\\ \n', max_size=2)
VALUES = st.recursive(
    NAMES | st.integers(-9, 9) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(NAMES, inner), max_size=4).map(tuple),
    max_leaves=20,
)
"""Values of JSON: a list is an array, a tuple of pairs is an object, whose names may repeat."""


def written(value: Any, draw: st.DrawFn) -> str:
    """The value as JSON, with any white space and any escapes."""

    def space() -> str:
        return draw(st.sampled_from(["", "", " ", "\n\t"]))

    def text(each: str) -> str:
        escaped = [draw(st.sampled_from([json.dumps(char)[1:-1], f"\\u{ord(char):04x}"])) for char in each]
        return f'"{"".join(escaped)}"'

    if isinstance(value, list):
        return f"[{','.join(space() + written(each, draw) + space() for each in value)}]"
    if isinstance(value, tuple):
        pairs = (f"{space()}{text(name)}{space()}:{space()}{written(each, draw)}{space()}" for name, each in value)
        return "{" + ",".join(pairs) + "}"
    return text(value) if isinstance(value, str) else json.dumps(value)


def repeats_a_name(value: Any) -> bool:
    if isinstance(value, tuple):
        names = [name for name, _ in value]
        return len(set(names)) < len(names) or any(repeats_a_name(each) for _, each in value)
    return isinstance(value, list) and any(map(repeats_a_name, value))


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_exactly_the_texts_that_repeat_a_name_are_refused(data: st.DataObject) -> None:
    value = data.draw(VALUES)
    raw = data.draw(st.composite(lambda draw: written(value, draw))()).encode()
    if repeats_a_name(value):
        with pytest.raises(NotJson, match="occurs twice"):
            read_json(raw)
    else:
        assert read_json(raw) == json.loads(raw)


@pytest.mark.parametrize("padding", [0, 1 << 10, 1 << 20])
def test_a_repeated_name_is_refused_at_every_size(padding: int) -> None:
    for escaped in ("a", "\\u0061"):
        body = f'{{"text":"{"x: " * (padding // 3)}","deep":[[[{{"a":1,"b":2,"{escaped}":3}}]]]}}'
        with pytest.raises(NotJson, match="occurs twice"):
            read_json(body.encode())


def test_nesting_is_read_down_to_a_limit() -> None:
    assert read_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert read_json(b'{"a":' * (MAX_DEPTH - 1) + b"[1]" + b"}" * (MAX_DEPTH - 1))
    with pytest.raises(NotJson, match="deeper"):
        read_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


def nested(depth: int) -> bytes:
    echoed = b'{"fields":{"title":"chef"},"x":' + b"[" * depth + b"]" * depth + b"}"
    return b'{"query":"a","return_documents":true,"documents":[' + echoed + b"]}"


@pytest.mark.parametrize("depth", [1, MAX_DEPTH, 247, 248, 249, 250, 251, 252, 260, 1000])
def test_no_depth_causes_a_5xx(usual: Running, depth: int) -> None:
    """Without the limit, a body of 251 levels can be read, but its response is deeper and cannot be written: a 500."""
    answer = usual.client.post("/rerank", content=nested(depth), headers={"Content-Type": "application/json"})
    assert answer.status_code == (200 if depth == 1 else 400)


@pytest.mark.parametrize("number", ["9" * 19, "9" * 20, "-" + "9" * 40, "1e308", "18446744073709551616", "1e-400"])
@pytest.mark.parametrize("body", ['{"member":{"text":"a"},"candidates":[{"id":"a","fields":{"title":%s}}]}',
                                  '{"member":{"text":"a"},"candidates":[{"id":"a","text":"b"}],"deadline_ms":%s}',
                                  '{"query":"a","texts":["b"],"top_n":%s,"max_tokens_per_doc":%s}'])  # fmt: skip
def test_no_number_causes_a_5xx(usual: Running, body: str, number: str) -> None:
    path = "/rerank" if "query" in body else "/score"
    answer = usual.client.post(path, content=body.replace("%s", number), headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 422), answer.text
