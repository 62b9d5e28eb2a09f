"""Each client of other rerank APIs against the real service: it gets each document, in order, with its score.

The right answer comes from `POST /score`, asked without any library. MATRIX names the modules in `clients/`.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import urllib.request
from typing import Any

import pytest

from tests.matrix.asking import KEY, Ask, Client, Found
from tests.matrix.wire import Wire, more_tokens, one_less, other_order

QUERY = "Data engineer. Skills: python, spark, airflow"
DOCUMENTS = (
    "Pastry chef. Bake for a small hotel.",
    "Senior data engineer, python and spark.",
    "Nurse on a surgical ward",
    "Database administrator",
    "Machine learning engineer: python, pipelines",
)
EXPECTED_BEST = 1
MODULES = os.environ.get("MATRIX", "").split()
CLIENTS = [client for name in MODULES for client in importlib.import_module(f"tests.matrix.clients.{name}").CLIENTS]
every = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


def scored(service: str, query: str, documents: tuple[str, ...]) -> tuple[list[float], int]:
    """The score of each document, 0 without one, and the tokens that are read, by the service's own API."""
    candidates = [{"id": str(index), "text": text} for index, text in enumerate(documents)]
    body = json.dumps({"member": {"text": query}, "candidates": candidates, "deadline_ms": 10_000}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    with urllib.request.urlopen(urllib.request.Request(f"{service}/score", body, headers), timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    scores = sorted(found["scores"], key=lambda each: int(each["id"]))
    tokens = sum(each["tokens_read"] for each in [found["member"], *scores])
    return [each["score"] or 0.0 for each in scores], tokens


def check(client: Client, found: Found, scores: list[float], tokens: int, top_n: int) -> None:
    """The right indexes in the right order, with their scores and tokens, and no more of them."""
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:top_n]
    assert [index for index, _ in found.ranking] == order
    assert [score for _, score in found.ranking] == pytest.approx([scores[index] for index in order], abs=1e-6)
    assert found.tokens == (tokens if client.tokens else None)


def test_the_documents_differ_in_their_scores(service: str) -> None:
    scores, _ = scored(service, QUERY, DOCUMENTS)
    assert max(range(len(scores)), key=scores.__getitem__) == EXPECTED_BEST
    assert len({round(score, 4) for score in scores}) == len(scores)


@every
def test_every_document_has_its_score_and_its_place(client: Client, between: Wire, service: str) -> None:
    found = client.rank(Ask(between.url, QUERY, DOCUMENTS, len(DOCUMENTS)))
    check(client, found, *scored(service, QUERY, DOCUMENTS), len(DOCUMENTS))
    assert between.paths == [client.route]


@every
def test_the_best_two_are_given(client: Client, between: Wire, service: str) -> None:
    if not client.top:
        pytest.skip("takes no number of results")
    found = client.rank(Ask(between.url, QUERY, DOCUMENTS, 2))
    check(client, found, *scored(service, QUERY, DOCUMENTS), 2)


@every
def test_a_document_without_a_text_comes_last(client: Client, between: Wire, service: str) -> None:
    documents = (DOCUMENTS[0], " ", *DOCUMENTS[1:])
    found = client.rank(Ask(between.url, QUERY, documents, len(documents)))
    check(client, found, *scored(service, QUERY, documents), len(documents))
    assert found.ranking[-1] == (1, 0.0)


@every
def test_one_document_is_ranked(client: Client, between: Wire, service: str) -> None:
    found = client.rank(Ask(between.url, QUERY, DOCUMENTS[:1], 1))
    check(client, found, *scored(service, QUERY, DOCUMENTS[:1]), 1)


@every
def test_a_refusal_reaches_the_caller_with_its_reason(client: Client, between: Wire) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each library has its own
        client.rank(Ask(between.url, " ", DOCUMENTS, 2))
    shown = f"{caught.value!r} {vars(caught.value)}"
    assert re.search(client.reason, shown), shown
    assert between.paths == [client.route]


@every
def test_a_full_service_is_asked_again_or_reported(client: Client, between: Wire, service: str) -> None:
    between.refuse = 1
    ask = Ask(between.url, QUERY, DOCUMENTS, len(DOCUMENTS))
    if client.waits:
        check(client, client.rank(ask), *scored(service, QUERY, DOCUMENTS), len(DOCUMENTS))
        assert between.paths == [client.route] * 2
    else:
        with pytest.raises(Exception):  # noqa: B017, PT011 - each library has its own
            client.rank(ask)
        assert between.paths == [client.route]


@every
@pytest.mark.parametrize("lie", [other_order, one_less, more_tokens], ids=lambda lie: lie.__name__)
def test_a_wrong_answer_is_noticed(client: Client, between: Wire, service: str, lie: Any) -> None:
    """The negative control: the same check fails where the answer is wrong."""
    if lie is more_tokens:
        if not client.tokens:
            pytest.skip("passes no usage on")
        between.after = lie
    else:
        between.before = lie
    expected = scored(service, QUERY, DOCUMENTS)
    with pytest.raises(Exception):  # noqa: B017, PT011 - of this check, or of the library's own
        check(client, client.rank(Ask(between.url, QUERY, DOCUMENTS, len(DOCUMENTS))), *expected, len(DOCUMENTS))
    assert between.paths == [client.route]  # the service was asked
