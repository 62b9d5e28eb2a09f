"""POST /rerank: the requests and responses of Cohere, Jina and TEI clients."""

import math

import pytest

from tests.support.service import Running

QUERY, DOCUMENTS = "data engineer python", ["pastry chef", "senior data engineer", "nurse ward"]


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_cohere_and_jina_clients_get_results_best_first(usual: Running, path: str) -> None:
    body = {"model": "any", "query": QUERY, "documents": DOCUMENTS, "top_n": 2, "max_tokens_per_doc": 512}
    answer = usual.client.post(path, json=body).json()
    results = answer["results"]
    assert set(answer) == {"id", "model", "results"}
    assert len(results) == 2
    assert results[0]["relevance_score"] >= results[1]["relevance_score"]
    assert all("document" not in each for each in results)


def test_documents_are_returned_on_request(usual: Running) -> None:
    body = {"query": QUERY, "documents": [{"text": text, "id": 7} for text in DOCUMENTS], "return_documents": True}
    results = usual.client.post("/rerank", json=body).json()["results"]
    assert all(each["document"] == {"text": DOCUMENTS[each["index"]]} for each in results)
    assert sorted(each["index"] for each in results) == [0, 1, 2]


def test_tei_clients_get_a_bare_list(usual: Running) -> None:
    body = {"query": QUERY, "texts": DOCUMENTS, "return_text": True, "truncate": True}
    ranks = usual.client.post("/rerank", json=body).json()
    assert [each["score"] for each in ranks] == sorted((each["score"] for each in ranks), reverse=True)
    assert all(each["text"] == DOCUMENTS[each["index"]] for each in ranks)


def test_both_shapes_return_the_scores_of_score(usual: Running) -> None:
    cohere = usual.client.post("/rerank", json={"query": QUERY, "documents": DOCUMENTS}).json()["results"]
    tei = usual.client.post("/rerank", json={"query": QUERY, "texts": DOCUMENTS}).json()
    candidates = [{"id": str(index), "text": text} for index, text in enumerate(DOCUMENTS)]
    scores = usual.score(member={"text": QUERY}, candidates=candidates).json()["scores"]
    expected = {index: pytest.approx(each["score"], abs=1e-6) for index, each in enumerate(scores)}
    assert {each["index"]: each["relevance_score"] for each in cohere} == expected
    assert {each["index"]: each["score"] for each in tei} == expected


def test_equal_documents_keep_their_order(usual: Running) -> None:
    ranks = usual.client.post("/rerank", json={"query": QUERY, "texts": ["chef"] * 4}).json()
    assert [each["index"] for each in ranks] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "body", [{"query": QUERY}, {"query": QUERY, "texts": [], "documents": None}, {"query": "", "texts": ["a"]}]
)
def test_a_body_without_query_or_documents_is_invalid(usual: Running, body: dict[str, object]) -> None:
    assert usual.client.post("/rerank", json=body).status_code == 422


def test_documents_may_be_objects_with_fields(usual: Running) -> None:
    fields = {"title": "senior data engineer", "description": "python platform"}
    body = {"query": QUERY, "documents": [fields, {"fields": fields}, {"text": "nurse"}], "return_documents": True}
    results = usual.client.post("/rerank", json=body).json()["results"]
    by_index = {each["index"]: each for each in results}
    assert by_index[0]["relevance_score"] == pytest.approx(by_index[1]["relevance_score"], abs=1e-6)
    assert by_index[0]["document"] == fields
    assert by_index[2]["relevance_score"] != by_index[0]["relevance_score"]


def test_documents_without_a_text_are_omitted_with_a_warning(usual: Running) -> None:
    answer = usual.client.post("/rerank", json={"query": QUERY, "documents": ["chef", "  ", {"n": [1]}]}).json()
    assert [each["index"] for each in answer["results"]] == [0]
    assert answer["meta"] == {"warnings": ["documents that could not be scored: 1, 2"]}


def test_raw_scores_are_log_odds_in_the_same_order(usual: Running) -> None:
    given = {"query": QUERY, "texts": DOCUMENTS}
    plain = usual.client.post("/rerank", json=given).json()
    raw = usual.client.post("/rerank", json={**given, "raw_scores": True}).json()
    assert [each["index"] for each in raw] == [each["index"] for each in plain]
    assert [1 / (1 + math.exp(-each["score"])) for each in raw] == pytest.approx([each["score"] for each in plain])


def test_nulls_in_optional_fields_are_accepted(usual: Running) -> None:
    unset = dict.fromkeys(["top_n", "return_documents", "max_tokens_per_doc", "rank_fields", "model", "texts"])
    answer = usual.client.post("/rerank", json={"query": QUERY, "documents": DOCUMENTS, **unset})
    assert len(answer.json()["results"]) == 3
