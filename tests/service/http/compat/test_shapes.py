"""One shape for each API that a client may speak. The scores are the same in all of them."""

import math
from typing import Any

import pytest

from service.http.compat.rerank import log_odds
from service.http.guard import PATHS
from tests.support.service import Running, Serve

QUERY, TEXTS = "data engineer python", ["pastry chef", "senior data engineer", "nurse ward"]


def post(running: Running, path: str, **body: object) -> Any:
    answer = running.client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def scores(usual: Running) -> list[float]:
    """The score of each text."""
    found = [0.0] * len(TEXTS)
    for each in post(usual, "/rerank", query=QUERY, documents=TEXTS)["results"]:
        found[each["index"]] = each["relevance_score"]
    return found


def ordered(scores: list[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda index: -scores[index])


def test_voyage(usual: Running, scores: list[float]) -> None:
    asked = {"query": QUERY, "documents": TEXTS, "model": "rerank-2", "top_k": 2, "truncation": True}
    answer = post(usual, "/voyage/v1/rerank", **asked, return_documents=True)
    assert set(answer) == {"object", "data", "model", "usage"}
    assert answer["usage"] == {"total_tokens": 3 + 2 + 3 + 2}
    assert [(each["index"], each["relevance_score"], each["document"]) for each in answer["data"]] == [
        (index, scores[index], TEXTS[index]) for index in ordered(scores)[:2]
    ]
    assert "document" not in post(usual, "/voyage/v1/rerank", **asked)["data"][0]


def test_infinity(usual: Running, scores: list[float]) -> None:
    asked = {"query": QUERY, "documents": TEXTS, "model": "x", "return_documents": True, "top_n": 1}
    answer = post(usual, "/infinity/rerank", **asked)
    assert answer["object"] == "rerank"
    assert answer["usage"] == {"prompt_tokens": 10, "total_tokens": 10}
    best = ordered(scores)[0]
    assert answer["results"] == [{"index": best, "relevance_score": scores[best], "document": TEXTS[best]}]
    raw = post(usual, "/infinity/rerank", **asked, raw_scores=True)["results"][0]["relevance_score"]
    assert raw == pytest.approx(math.log(scores[best] / (1 - scores[best])))


def test_mixedbread(usual: Running, scores: list[float]) -> None:
    asked = {"query": QUERY, "input": TEXTS, "model": "x", "top_k": 2, "return_input": True}
    answer = post(usual, "/v1/reranking", **asked)
    assert (answer["object"], answer["top_k"], answer["return_input"]) == ("list", 2, True)
    assert answer["data"] == [
        {"index": index, "score": scores[index], "input": TEXTS[index], "object": "rank_result"}
        for index in ordered(scores)[:2]
    ]
    objects = [{"title": text, "note": "python"} for text in TEXTS]
    chosen = post(usual, "/v1/reranking", query=QUERY, input=objects, rank_fields=["title"])
    assert [each["score"] for each in chosen["data"]] == [scores[index] for index in ordered(scores)]


@pytest.mark.parametrize("path", ["/vllm/rerank", "/vllm/v1/rerank", "/vllm/v2/rerank"])
def test_vllm_rerank(usual: Running, scores: list[float], path: str) -> None:
    for top_n, num in ((0, 3), (-1, 3), (None, 3), (2, 2), (9, 3)):
        answer = post(usual, path, model="x", query=QUERY, documents=TEXTS, top_n=top_n)
        assert set(answer) == {"id", "model", "usage", "results"}
        assert answer["usage"] == {"prompt_tokens": 10, "total_tokens": 10}
        assert [(each["index"], each["relevance_score"], each["document"]) for each in answer["results"]] == [
            (index, scores[index], {"text": TEXTS[index]}) for index in ordered(scores)[:num]
        ]
    (one,) = post(usual, path, query=QUERY, documents=TEXTS[1])["results"]
    assert one["relevance_score"] == pytest.approx(scores[1], abs=1e-6)


def test_a_score_of_vllm_without_its_activation_is_the_log_odds(usual: Running, scores: list[float]) -> None:
    odds = [pytest.approx(log_odds(score), abs=1e-6) for score in scores]
    ranked = post(usual, "/vllm/rerank", query=QUERY, documents=TEXTS, use_activation=False)["results"]
    assert {each["index"]: each["relevance_score"] for each in ranked} == dict(enumerate(odds))
    scored = post(usual, "/vllm/score", text_1=QUERY, text_2=TEXTS, use_activation=False)["data"]
    assert [each["score"] for each in scored] == odds
    for active in (True, None):
        scored = post(usual, "/vllm/score", text_1=QUERY, text_2=TEXTS, use_activation=active)["data"]
        assert [each["score"] for each in scored] == scores


@pytest.mark.parametrize("path", ["/v1/score", "/vllm/score", "/vllm/v1/score"])
def test_vllm_score(usual: Running, scores: list[float], path: str) -> None:
    answer = post(usual, path, model="x", text_1=QUERY, text_2=TEXTS)
    assert answer["object"] == "list"
    assert answer["data"] == [{"index": index, "object": "score", "score": score} for index, score in enumerate(scores)]
    one = post(usual, path, text_1=[QUERY], text_2=TEXTS[1])
    assert [each["score"] for each in one["data"]] == [pytest.approx(scores[1], abs=1e-6)]


def test_tei_predict(usual: Running, scores: list[float]) -> None:
    many = post(usual, "/predict", inputs=[[QUERY, text] for text in TEXTS])
    assert many == [[{"score": score, "label": "LABEL_0"}] for score in scores]
    (one,) = post(usual, "/predict", inputs=[QUERY, TEXTS[0]])
    assert one == {"score": pytest.approx(scores[0], abs=1e-6), "label": "LABEL_0"}
    assert post(usual, "/predict", inputs=[QUERY, TEXTS[0]], raw_scores=True)[0]["score"] < 0 < scores[0]


def test_sentence_similarity_of_the_hub(usual: Running, scores: list[float]) -> None:
    asked = {"source_sentence": QUERY, "sentences": TEXTS}
    assert post(usual, "/", inputs=asked, parameters={}) == scores


def test_in_every_shape_a_text_that_cannot_be_read_keeps_its_place(usual: Running, scores: list[float]) -> None:
    texts = ["", *TEXTS]
    assert post(usual, "/", inputs={"source_sentence": QUERY, "sentences": texts}) == [0.0, *scores]
    assert [each["score"] for each in post(usual, "/v1/score", text_1=QUERY, text_2=texts)["data"]] == [0.0, *scores]
    assert post(usual, "/predict", inputs=[[QUERY, text] for text in texts])[0][0]["score"] == 0.0
    answer = usual.client.post("/voyage/v1/rerank", json={"query": QUERY, "documents": texts})
    assert answer.json()["data"][-1] == {"index": 0, "relevance_score": 0.0}
    assert "come last" in answer.headers["x-fitscore-warnings"]


def test_tei_info_and_health(usual: Running, serve: Serve) -> None:
    info = usual.client.get("/info").json()
    assert "reranker" in info["model_type"]
    assert info["model_id"] == "tiny-v1"
    assert (usual.client.get("/health").status_code, usual.client.get("/health").content) == (200, b"")
    guarded = serve(api_keys="web:s3cret:score")
    assert guarded.client.get("/health").status_code == 200
    assert guarded.client.get("/info").status_code == 401
    for path in ("/", *PATHS):
        assert guarded.client.post(path, json={}).status_code == 401


FAULTS: list[tuple[str, dict[str, object], str]] = [
    ("/voyage/v1/rerank", {"query": " ", "documents": TEXTS}, "/query"),
    ("/v1/reranking", {"query": QUERY, "input": [{"image": "x"}]}, "/input/0/image"),
    ("/v1/reranking", {"query": QUERY, "input": []}, "/input"),
    ("/v1/reranking", {"query": QUERY, "input": TEXTS, "deadline_ms": "soon"}, "/deadline_ms"),
    ("/v1/reranking", {"query": QUERY, "input": TEXTS, "texts": TEXTS}, ""),
    ("/v1/score", {"text_1": " ", "text_2": TEXTS}, "/text_1"),
    ("/v1/score", {"text_1": [QUERY, "chef"], "text_2": TEXTS[:2]}, "/text_1"),
    ("/v1/score", {"text_1": QUERY, "text_2": ["chef"] * 1001}, "/text_2"),
    ("/v1/score", {"text_1": QUERY, "text_2": [5]}, "/text_2/0"),
    ("/vllm/rerank", {"query": QUERY, "documents": TEXTS, "top_n": 1.5}, "/top_n"),
    ("/vllm/rerank", {"query": QUERY, "documents": TEXTS, "top_n": True}, "/top_n"),
    ("/vllm/rerank", {"query": " ", "documents": TEXTS}, "/query"),
    ("/vllm/rerank", {"query": QUERY, "documents": [{"image": "x"}]}, "/documents/0/image"),
    ("/vllm/rerank", {"query": QUERY, "documents": []}, "/documents"),
    ("/vllm/score", {"text_1": QUERY, "text_2": []}, "/text_2"),
    ("/predict", {"inputs": "chef"}, "/inputs"),
    ("/predict", {"inputs": [[QUERY, "chef"], ["other", "chef"]]}, "/inputs/1/0"),
    ("/predict", {"inputs": [QUERY, "chef " * 40], "truncate": False}, "/inputs/0"),
    ("/", {"inputs": {"source_sentence": " ", "sentences": TEXTS}}, "/inputs/source_sentence"),
    ("/", {"inputs": {"source_sentence": QUERY}}, "/inputs/sentences"),
]


@pytest.mark.parametrize(("path", "body", "pointer"), FAULTS)
def test_a_fault_is_at_its_place_in_the_body_of_that_shape(
    usual: Running, path: str, body: dict[str, object], pointer: str
) -> None:
    answer = usual.client.post(path, json=body)
    assert answer.status_code == 422, answer.text
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]
