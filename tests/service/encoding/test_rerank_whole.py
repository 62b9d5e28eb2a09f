"""A rerank request is answered as a whole: with a split model a retry finds the rest encoded, a cross-encoder says how
many documents fit.
"""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from models.text import TokenIds
from tests.support.fakes import SumScorer, WatchedModel, loading
from tests.support.metrics import read
from tests.support.service import Running, Serve
from tests.support.split_bundles import write_split_bundle
from tests.support.waiting import PATIENCE_S, eventually

QUERY = "data engineer python"
NEAR_MS = 10_000
LONG_S = 20.0
"""The predicted time of a document, so that there is no time for it; in fact each is encoded at once."""


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "tiny-v1"
    write_split_bundle(path)
    return path


def rerank(running: Running, documents: Sequence[str], **body: object) -> httpx.Response:
    return running.client.post("/rerank", json={"query": QUERY, "documents": documents, **body})


def test_unless_all_documents_are_scored_the_answer_is_503_and_a_retry_after_the_delay_succeeds(
    serve: Serve, split: Path
) -> None:
    running = serve(bundle=split, load=WatchedModel(encode_s=LONG_S))
    assert rerank(running, ["chef"]).status_code == 200
    early = rerank(running, ["chef", "nurse", "hotel"], deadline_ms=NEAR_MS, top_n=1)
    assert (early.status_code, early.json()["type"]) == (503, "urn:fitscore:incomplete")
    assert early.json()["detail"] == "1 of 3 documents are scored; the others are worked on"
    assert 2 * LONG_S <= int(early.headers["retry-after"]) <= 4 * LONG_S
    eventually(lambda: read(running)['fitscore_batch_items_sum{lane="ahead"}'] >= 2)
    retried = rerank(running, ["chef", "nurse", "hotel"], deadline_ms=NEAR_MS)
    assert (retried.status_code, len(retried.json()["results"])) == (200, 3)
    assert read(running)['fitscore_requests_total{outcome="partial",route="/rerank"}'] == 1


def test_also_when_no_document_is_scored_the_answer_has_a_delay(serve: Serve, split: Path) -> None:
    running = serve(bundle=split, load=WatchedModel(encode_s=LONG_S))
    early = rerank(running, ["chef", "nurse"], deadline_ms=NEAR_MS)
    assert early.status_code == 503
    assert "retry-after" in early.headers


def test_a_score_request_without_any_score_for_want_of_time_is_504(serve: Serve, split: Path) -> None:
    running = serve(bundle=split, load=WatchedModel(encode_s=LONG_S))
    for others in ([], [{"id": "unknown"}], [{"id": "empty", "text": " "}]):
        late = running.score(candidates=[{"id": "a", "text": "chef"}, *others], deadline_ms=1000)
        assert (late.status_code, late.json()["type"]) == (504, "urn:fitscore:deadline-passed")
        running = serve(bundle=split, load=WatchedModel(encode_s=LONG_S))
    assert running.score(candidates=[{"id": "unknown"}], deadline_ms=1000).status_code == 200


def test_time_that_turns_out_to_be_left_is_used(serve: Serve, split: Path) -> None:
    """By the first prediction a third of the documents fit into the time; each is encoded at once."""
    model = WatchedModel(encode_s=1.0)
    running = serve(bundle=split, load=model)
    answer = rerank(running, [f"chef {number}" for number in range(24)], deadline_ms=NEAR_MS)
    assert (answer.status_code, len(answer.json()["results"])) == (200, 24)


def test_the_plan_does_not_reach_beyond_the_deadline(serve: Serve, split: Path) -> None:
    """The negative control of the test above: encoding takes as long as predicted."""
    model = WatchedModel(encode_s=0.1)
    running = serve(bundle=split, load=model)

    def wait(candidates: Sequence[TokenIds]) -> None:
        until = time.monotonic() + 0.1 * len(candidates)
        eventually(lambda: time.monotonic() >= until)

    model.scorer.before_candidates = wait
    began = time.monotonic()
    assert rerank(running, [f"chef {number}" for number in range(100)], deadline_ms=2000).status_code == 503
    assert time.monotonic() - began < 4.0


def test_a_cross_encoder_says_how_many_documents_fit(serve: Serve) -> None:
    running = serve(load=loading(SumScorer(), run_s=0.3, max_batch_tokens=1))
    refused = rerank(running, ["chef"] * 100, deadline_ms=2000)
    assert (refused.status_code, refused.json()["type"]) == (413, "urn:fitscore:too-many")
    assert "retry-after" not in refused.headers
    (fits,) = re.findall(r"about (\d+) documents", refused.json()["detail"])
    assert 1 <= int(fits) <= 10
    assert rerank(running, ["chef"] * int(fits), deadline_ms=2000).status_code == 200
    assert running.score(deadline_ms=2000).status_code == 200


def test_a_cross_encoder_that_is_late_has_no_partial_answer_either(serve: Serve) -> None:
    gate = threading.Event()
    runs: Iterator[int] = count()

    def wait_from_the_second_run(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        assert next(runs) == 0 or gate.wait(PATIENCE_S)
        return rows

    running = serve(load=loading(SumScorer(wait_from_the_second_run), max_batch_tokens=1))
    answer = rerank(running, ["chef", "nurse"], deadline_ms=1000)
    gate.set()
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:fitscore:incomplete")


def test_a_document_that_the_model_fails_on_fails_no_other(serve: Serve, split: Path) -> None:
    model = WatchedModel()
    running = serve(bundle=split, load=model)

    def refuse(candidates: Sequence[TokenIds]) -> None:
        if any(len(ids) > 6 for ids in candidates):
            raise RuntimeError

    model.scorer.before_candidates = refuse
    answer = rerank(running, ["chef " * 8, "chef", "nurse"])
    assert answer.status_code == 200
    assert answer.json()["results"][-1] == {"index": 0, "relevance_score": 0.0}
    (warning,) = answer.json()["meta"]["warnings"]
    assert warning == "documents that the model failed on, which come last with the score 0: 0"
    assert rerank(running, ["chef " * 8]).status_code == 500
