"""JSON that is none, or that readers would understand differently, is a 400. All texts are made here."""

import json

import orjson
import pytest

from load_tests.fire.invalid_json import invalid_texts
from service.errors import NotJson
from service.http.strict_json import MAX_DEPTH, read_json
from tests.support.service import Running


def test_there_are_as_many_as_in_the_suite() -> None:
    assert len(set(invalid_texts())) >= 188


@pytest.mark.parametrize("raw", invalid_texts(), ids=lambda raw: repr(raw[:20]))
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(NotJson):
        read_json(raw)


def test_the_standard_librarys_reader_would_have_let_some_in() -> None:
    """The negative control: the texts tell a strict reader from a lenient one."""
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
    ],
)
def test_a_name_that_stands_twice_is_refused(raw: bytes) -> None:
    assert orjson.loads(raw)  # the parser alone would take the last
    with pytest.raises(NotJson, match="twice"):
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
def test_what_is_json_is_read_as_it_stands(raw: bytes) -> None:
    assert read_json(raw) == json.loads(raw)


def test_nesting_is_read_down_to_a_limit() -> None:
    assert read_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert read_json(b'{"a":' * (MAX_DEPTH - 1) + b"[1]" + b"}" * (MAX_DEPTH - 1))
    with pytest.raises(NotJson, match="deeper"):
        read_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


def nested(depth: int) -> bytes:
    echoed = b'{"fields":{"title":"chef"},"x":' + b"[" * depth + b"]" * depth + b"}"
    return b'{"query":"a","return_documents":true,"documents":[' + echoed + b"]}"


@pytest.mark.parametrize("depth", [1, MAX_DEPTH, 247, 248, 249, 250, 251, 252, 260, 1000])
def test_no_depth_is_a_fault_of_ours(usual: Running, depth: int) -> None:
    """At 251 levels the body could be read, and the answer, a few levels deeper, not be written: a 500."""
    answer = usual.client.post("/rerank", content=nested(depth), headers={"Content-Type": "application/json"})
    assert answer.status_code == (200 if depth == 1 else 400)


@pytest.mark.parametrize("number", ["9" * 19, "9" * 20, "-" + "9" * 40, "1e308", "18446744073709551616", "1e-400"])
@pytest.mark.parametrize("body", ['{"member":{"text":"a"},"candidates":[{"id":"a","fields":{"title":%s}}]}',
                                  '{"member":{"text":"a"},"candidates":[{"id":"a","text":"b"}],"deadline_ms":%s}',
                                  '{"query":"a","texts":["b"],"top_n":%s,"max_tokens_per_doc":%s}'])  # fmt: skip
def test_no_number_is_a_fault_of_ours(usual: Running, body: str, number: str) -> None:
    path = "/rerank" if "query" in body else "/score"
    answer = usual.client.post(path, content=body.replace("%s", number), headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 422), answer.text
