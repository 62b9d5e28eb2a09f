"""Thousands of mutated bodies: each is answered with a 2xx or a 4xx that is a problem, none with a 5xx."""

import json
import random
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter

from load_tests.fire.mutate_json import mutated
from service.http.schemas import DeadlineMs
from tests.support.service import CANDIDATES, MEMBER, Running

BODIES: dict[str, dict[str, Any]] = {
    "/score": {
        "member": MEMBER,
        "candidates": CANDIDATES,
        "blend": {"relevance": 1.0},
        "deadline_ms": 60_000,
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
NUM_BODIES = 10_000
DEADLINE = TypeAdapter(DeadlineMs)


def has_haste(body: bytes) -> bool:
    """Whether a valid body states a deadline that a slow machine could miss."""
    stated = orjson.loads(body).get("deadline_ms")
    return stated is not None and DEADLINE.validate_python(stated) < BODIES["/score"]["deadline_ms"]


@pytest.mark.parametrize(
    ("body", "haste"),
    [
        (b'{"deadline_ms": 50}', True),
        (b'{"deadline_ms": "7.0"}', True),
        (b'{"deadline_ms": 60000}', False),
        (b'{"deadline_ms":\t6e4}', False),
        (b'{"deadline_ms": 90000}', False),
        (b'{"deadline_ms": null}', False),
        (rb'{"member": {"text": "\"deadline_ms\": 5"}}', False),
    ],
)
def test_only_a_stated_deadline_excuses_a_503_or_504(body: bytes, haste: bool) -> None:
    assert has_haste(body) is haste


@pytest.mark.parametrize("path", BODIES)
def test_mutated_bodies_never_get_a_5xx(usual: Running, path: str) -> None:
    random_ = random.Random(path)
    whole = json.dumps(BODIES[path]).encode()
    method = "PUT" if path == "/candidates" else "POST"
    statuses: dict[int, int] = {}
    for _ in range(NUM_BODIES // len(BODIES)):
        body = mutated(whole, random_)
        answer = usual.client.request(method, path, content=body, headers={"Content-Type": "application/json"})
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        rushed = answer.status_code in (503, 504) and path == "/score" and has_haste(body)
        assert answer.status_code < 500 or rushed, body
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code
    assert statuses[200] > 0, "the damage left nothing sound: the test proves too little"
    assert statuses[400] > 0
    assert statuses[422] > 0
