"""Thousands of damaged bodies: each is answered with a 2xx or a 4xx that is a problem, none with a 5xx."""

import json
import random

import pytest

from tests.service.conftest import CANDIDATES, MEMBER, Running

BODIES = {
    "/score": {
        "member": MEMBER,
        "candidates": CANDIDATES,
        "blend": {"relevance": 1.0},
        "deadline_ms": 5000,
        "priority": "default",
    },
    "/rerank": {
        "query": "data engineer",
        "documents": ["chef", {"text": "nurse"}],
        "top_n": 1,
        "return_documents": True,
    },
    "/candidates": {"candidates": CANDIDATES},
}
POISON = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b'"\\ud800"', b'"\\u0000"', b"[" * 2000, b"{}", b"[]", b"null",
    b"true", b"-1", b"0", b"1e-400", b'""', b"9" * 20, b'"\xff"', b'{"a":{"a":{}}}', b'"[SEP]"', b"\xef\xbb\xbf",
)  # fmt: skip
NUM_BODIES = 10_000


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


@pytest.mark.slow
@pytest.mark.parametrize("path", BODIES)
def test_damaged_bodies_never_get_a_5xx(usual: Running, path: str) -> None:
    random_ = random.Random(path)
    whole = json.dumps(BODIES[path]).encode()
    method = "PUT" if path == "/candidates" else "POST"
    statuses: dict[int, int] = {}
    for _ in range(NUM_BODIES // len(BODIES)):
        body = damaged(whole, random_)
        answer = usual.client.request(method, path, content=body, headers={"Content-Type": "application/json"})
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        assert answer.status_code < 500, body
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code
    assert statuses[200] > 0, "the damage left nothing sound: the test proves too little"
    assert statuses[400] > 0
    assert statuses[422] > 0
